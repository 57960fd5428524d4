package recording

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// files is a file system in memory, with symbolic links. Recordings come from
// other people, so nothing of them is written to a disk.
type files map[string]*file

type file struct {
	name string
	mode fs.FileMode
	data string // of a link: where it leads, from its folder
	in   []string
}

var _ fs.ReadLinkFS = files{}

func newFiles() files { return files{".": {name: ".", mode: fs.ModeDir | 0o555}} }

// add adds a file with the folders above it. If a name is added twice, the first
// counts.
func (f files) add(name string, mode fs.FileMode, data string) {
	if !fs.ValidPath(name) || f[name] != nil {
		return
	}
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		if have := f[folder]; have != nil && !have.mode.IsDir() {
			return
		}
		if folder == "." {
			break
		}
	}
	f[name] = &file{name: path.Base(name), mode: mode, data: data}
	for child := name; child != "."; child = path.Dir(child) {
		folder := path.Dir(child)
		known := f[folder] != nil
		if !known {
			f[folder] = &file{name: path.Base(folder), mode: fs.ModeDir | 0o555}
		}
		f[folder].in = append(f[folder].in, child)
		if known {
			break
		}
	}
}

// link adds a symbolic link to a file of the same file system.
func (f files) link(name, to string) {
	f.add(name, fs.ModeSymlink|0o777, strings.Repeat("../", strings.Count(name, "/"))+to)
}

const maxLinks = 40

// find resolves the links in a path; that of the last element only if last is
// true.
func (f files) find(op, name string, last bool) (*file, error) {
	fail := func(err error) (*file, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	at, left := ".", strings.Split(name, "/")
	for links := 0; len(left) > 0; {
		next := path.Join(at, left[0])
		left = left[1:]
		have := f[next]
		switch {
		case have == nil:
			return fail(fs.ErrNotExist)
		case have.mode.Type() != fs.ModeSymlink || len(left) == 0 && !last:
			at = next
			continue
		}
		to := path.Join(path.Dir(next), have.data)
		if links++; links > maxLinks || !fs.ValidPath(to) {
			return fail(fs.ErrNotExist)
		}
		at, left = ".", append(strings.Split(to, "/"), left...)
	}
	return f[at], nil
}

func (f files) Open(name string) (fs.File, error) {
	have, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	o := &open{file: have, Reader: bytes.NewReader([]byte(have.data))}
	if !have.mode.IsDir() {
		return o, nil
	}
	entries, err := f.ReadDir(name)
	return &openFolder{open: o, left: entries}, err
}

func (f files) ReadLink(name string) (string, error) {
	have, err := f.find("readlink", name, false)
	if err == nil && have.mode.Type() != fs.ModeSymlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return have.data, nil
}

func (f files) Lstat(name string) (fs.FileInfo, error) {
	have, err := f.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return info{have}, nil
}

func (f files) ReadDir(name string) ([]fs.DirEntry, error) {
	have, err := f.find("readdir", name, true)
	if err == nil && !have.mode.IsDir() {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, 0, len(have.in))
	for _, child := range have.in {
		entries = append(entries, fs.FileInfoToDirEntry(info{f[child]}))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

type open struct {
	*file
	*bytes.Reader
}

func (o *open) Stat() (fs.FileInfo, error) { return info{o.file}, nil }
func (o *open) Close() error               { return nil }

type openFolder struct {
	*open
	left []fs.DirEntry
}

func (o *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: o.name, Err: errors.New("a folder")}
}

func (o *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(o.left) {
		if n > 0 && len(o.left) == 0 {
			return nil, io.EOF
		}
		n = len(o.left)
	}
	next := o.left[:n]
	o.left = o.left[n:]
	return next, nil
}

type info struct{ *file }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(len(i.data)) }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
