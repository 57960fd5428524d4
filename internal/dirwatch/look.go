package dirwatch

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// maxEntries bounds the snapshot of a folder. If the folder has more, a change
// may be anything.
const maxEntries = 16384

// snapshot is what was in a folder.
type snapshot struct {
	missing bool
	crowded bool // more than maxEntries
	self    stamp
	entries map[string]stamp
}

// stamp changes when a file is replaced or written.
type stamp struct {
	inode    uint64
	modified time.Time
	size     int64
	// Of the folder itself alone:
	mode     fs.FileMode
	uid, gid uint32
}

// look returns what is in a folder now.
func look(path string) snapshot {
	folder, err := os.Open(path)
	if err != nil {
		// A folder that cannot be read changes when its mode does.
		info, err := os.Lstat(path)
		if err != nil {
			return snapshot{missing: true}
		}
		return snapshot{self: ownStamp(info)}
	}
	defer folder.Close()
	info, err := folder.Stat()
	if err != nil {
		return snapshot{missing: true}
	}
	s := snapshot{self: ownStamp(info)}
	entries, err := folder.ReadDir(maxEntries + 1)
	if err != nil && len(entries) == 0 {
		return s // it is empty
	}
	if len(entries) > maxEntries {
		s.crowded = true
		return s
	}
	s.entries = make(map[string]stamp, len(entries))
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			s.entries[entry.Name()] = fileStamp(info)
		}
	}
	return s
}

func fileStamp(info fs.FileInfo) stamp {
	s := stamp{modified: info.ModTime(), size: info.Size()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = stat.Ino
	}
	return s
}

func ownStamp(info fs.FileInfo) stamp {
	s := stamp{mode: info.Mode()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.uid, s.gid = stat.Ino, stat.Uid, stat.Gid
	}
	return s
}

// differs returns the names of what differs; "" means anything.
func (s snapshot) differs(now snapshot) (names []string) {
	if s.crowded || now.crowded || s.missing != now.missing || s.self != now.self {
		return []string{""}
	}
	for name, stamp := range s.entries {
		if other, there := now.entries[name]; !there || other != stamp {
			names = append(names, name)
		}
	}
	for name := range now.entries {
		if _, there := s.entries[name]; !there {
			names = append(names, name)
		}
	}
	return names
}
