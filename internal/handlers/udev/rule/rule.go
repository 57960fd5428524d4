// Package rule implements the rules with which a Configuration selects devices
// of a node: the matching half of udev(7).
//
// A [Rule] is a list of matches such as
//
//	SUBSYSTEM=="video4linux", ATTRS{idVendor}=="046d", ENV{ID_V4L_CAPABILITIES}!="*:video_output:*"
//
// and selects the [Device]s for which all of them hold. Each match has a
// [Field], an operator (== or !=) and a value: a shell pattern, or several
// separated by |. Fields whose names end in S look at the device and its
// ancestors; all of them must hold on the same one.
//
// Where udev(7) is silent, this package does what systemd-udevd does (systemd's
// src/udev/udev-rules.c and sd-device.c): a missing property, subsystem or
// driver counts as an empty string; with a missing attribute neither == nor !=
// holds; white space at the end of an attribute is ignored unless the value of
// the match ends in white space.
//
// Names and properties are compared byte by byte, as udevd does in the C locale.
package rule

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxRuleBytes is the longest rule that is accepted, in bytes. (udevd: 16
	// KiB.)
	MaxRuleBytes = 4096
	// MaxRules is the number of rules that [ParseAll] accepts.
	MaxRules = 256
)

// Field is what a match looks at.
type Field uint8

// The fields, in the order in which a rule evaluates them: first what costs
// nothing, then what reads files, the ancestors last.
const (
	Kernel Field = iota
	Devpath
	Subsystem
	Driver
	Env
	Tag
	Attr
	Kernels
	Subsystems
	Drivers
	Tags
	Attrs
)

var fieldNames = [...]string{
	Kernel: "KERNEL", Devpath: "DEVPATH", Subsystem: "SUBSYSTEM", Driver: "DRIVER",
	Env: "ENV", Tag: "TAG", Attr: "ATTR",
	Kernels: "KERNELS", Subsystems: "SUBSYSTEMS", Drivers: "DRIVERS", Tags: "TAGS", Attrs: "ATTRS",
}

// String returns the name of the field as rules write it, such as "KERNELS".
func (f Field) String() string { return fieldNames[f] }

// ofAncestors tells whether the field looks at the ancestors too.
func (f Field) ofAncestors() bool { return f >= Kernels }

func (f Field) hasKey() bool { return f == Attr || f == Attrs || f == Env }

// Device is what a rule can see of a device. Its methods are called at most
// once per match, and only if the matches before it hold.
type Device interface {
	// Devpath is the path below /sys, such as "/devices/virtual/mem/null".
	Devpath() string
	// Kernel is the device's name, such as "null".
	Kernel() string
	// Subsystem and Driver are empty if there is none.
	Subsystem() string
	Driver() string
	// Attr returns the value of a sysfs attribute without the line break at
	// its end, and whether there is such an attribute.
	Attr(name string) (value string, ok bool)
	// Property returns the value of a udev property, empty if there is none.
	// known is false until udevd has recorded the device: then no match on it
	// holds.
	Property(key string) (value string, known bool)
	// Tags returns the device's tags; known is as for Property.
	Tags() (tags []string, known bool)
	// Parent returns the nearest ancestor that is a device.
	Parent() (Device, bool)
}

// Rule is a parsed rule.
type Rule struct {
	text    string
	matches []match // as written
	sorted  []match // as evaluated: by field
	// noComma is the column of a match that only white space separates from the
	// one before it.
	noComma int
}

// match is one match of a rule.
type match struct {
	field  Field
	key    string // in braces
	negate bool   // !=
	value  string // as written, unescaped
	column int    // where it begins
	pattern
	keepSpace bool // the value ends in white space: so may the attribute
}

// String returns the rule as it was written.
func (r *Rule) String() string { return r.text }

// Matches tells whether all matches of the rule hold for the device.
func (r *Rule) Matches(d Device) bool {
	for i, m := range r.sorted {
		if m.field.ofAncestors() {
			return onOneOf(r.sorted[i:], d)
		}
		if !m.holds(d) {
			return false
		}
	}
	return true
}

// UsesDatabase tells whether the result can depend on udevd's record of a device.
func (r *Rule) UsesDatabase() bool {
	return slices.ContainsFunc(r.matches, func(m match) bool {
		return m.field == Env || m.field == Tag || m.field == Tags
	})
}

// onOneOf tells whether all matches hold on the device, or all on the same
// ancestor.
func onOneOf(matches []match, d Device) bool {
	for ok := true; ok; d, ok = d.Parent() {
		if !slices.ContainsFunc(matches, func(m match) bool { return !m.holds(d) }) {
			return true
		}
	}
	return false
}

func (m *match) holds(d Device) bool {
	var s string
	switch m.field {
	case Kernel, Kernels:
		s = d.Kernel()
	case Devpath:
		s = d.Devpath()
	case Subsystem, Subsystems:
		s = d.Subsystem()
	case Driver, Drivers:
		s = d.Driver()
	case Env:
		var known bool
		if s, known = d.Property(m.key); !known {
			return false
		}
	case Attr, Attrs:
		var ok bool
		if s, ok = d.Attr(m.key); !ok {
			return false
		}
		if !m.keepSpace {
			s = strings.TrimRight(s, " \t\n\v\f\r")
		}
	case Tag, Tags:
		tags, known := d.Tags()
		return known && slices.ContainsFunc(tags, m.matches) != m.negate
	}
	return m.matches(s) != m.negate
}

// ParseAll parses the rules of one Configuration; a device is selected if one
// of them matches. An empty list, which would select nothing, is an error.
// Errors name the rule by its index.
func ParseAll(texts []string) ([]*Rule, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("there is no rule: an empty list selects nothing")
	}
	if len(texts) > MaxRules {
		return nil, fmt.Errorf("%d rules: more than %d", len(texts), MaxRules)
	}
	rules := make([]*Rule, len(texts))
	for i, text := range texts {
		var err error
		if rules[i], err = Parse(text); err != nil {
			return nil, fmt.Errorf("rule %d of %d: %w", i+1, len(texts), err)
		}
	}
	return rules, nil
}

// SyntaxError says where and why a rule is invalid.
type SyntaxError struct {
	Rule   string
	Column int // of the character at which the rule is wrong, from 1
	Reason string
	// Unclosed tells that the rule ends before a closing quote.
	Unclosed bool
}

// Error returns place and reason in one line.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("column %d: %s", e.Column, e.Reason)
}

// Excerpt returns two lines for terminals: the rule, or the part around the
// error, and a caret below the error.
func (e *SyntaxError) Excerpt() string {
	const before, after = 50, 30
	runes := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, e.Rule))
	at := min(e.Column-1, len(runes))
	from, to := max(0, at-before), min(len(runes), at+after)
	line, indent := string(runes[from:to]), at-from
	if from > 0 {
		line, indent = "…"+line, indent+1
	}
	if to < len(runes) {
		line += "…"
	}
	return line + "\n" + strings.Repeat(" ", indent) + "^"
}
