package guest

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// modules are those of a kernel.
type modules struct {
	files   map[string]string // by name
	builtin map[string]bool   // names of those that are part of the kernel itself
	// needs returns the names of those that a module's file says it needs.
	needs func(file string) ([]string, error)
}

// findModules finds them in a folder lib/modules/<version> of a kernel package.
func findModules(dir string) (*modules, error) {
	m := &modules{files: map[string]string{}, builtin: map[string]bool{}, needs: needs}
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(list)) {
		m.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".ko") {
			m.files[moduleName(path)] = path
		}
		return err
	})
	if err == nil && len(m.files) == 0 {
		err = fmt.Errorf("%s has no modules (*.ko): those that are compressed cannot be read here", dir)
	}
	return m, err
}

// moduleName is the name by which the kernel knows a module's file.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// inOrder returns the modules of some names and all that these need, each after
// those that it needs.
func (m *modules) inOrder(names []string) ([]string, error) {
	var order []string
	state := map[string]string{}
	var visit func(name string) error
	visit = func(name string) error {
		file, ok := m.files[name]
		switch {
		case m.builtin[name], state[name] == "done":
			return nil
		case !ok:
			return fmt.Errorf("the kernel has no module %s", name)
		case state[name] == "begun":
			return fmt.Errorf("module %s needs itself", name)
		}
		state[name] = "begun"
		before, err := m.needs(file)
		if err != nil {
			return err
		}
		for _, b := range before {
			if err := visit(moduleName(b)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		state[name] = "done"
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// needs reads what depmod(8) reads: "depends=" in the section .modinfo.
func needs(file string) (names []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %s says nothing of itself", file)
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", file, err)
	}
	return dependsIn(data), nil
}

func dependsIn(modinfo []byte) []string {
	for entry := range bytes.SplitSeq(modinfo, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(string(list), ",")
		}
	}
	return nil
}
