package labs

import (
	"errors"
	"fmt"
	"strings"
)

// split splits a command into words as a shell does, as far as the labs need it:
// single and double quotes, backslashes, and variables. A variable without quotes
// becomes as many words as it has.
func split(command string, variable func(string) string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		begun bool // the word has begun, even if it is empty
		quote byte
	)
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case quote == '\'' && c != '\'':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\'' && quote == 0, c == '"' && quote == 0:
			quote, begun = c, true
		case c == '\\':
			if i++; i == len(command) {
				return nil, errors.New("a backslash at the end")
			}
			if command[i] == '\n' { // the line goes on
				continue
			}
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(command[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(command[i])
			begun = true
		case c == '$':
			name := nameAt(command[i+1:])
			if name == "" {
				return nil, fmt.Errorf("%q: only $NAME is known", command[i:])
			}
			i += len(name)
			if quote == '"' {
				word.WriteString(variable(name))
				continue
			}
			for n, part := range strings.Fields(variable(name)) {
				if n > 0 {
					end()
				}
				word.WriteString(part)
				begun = true
			}
		case quote == 0 && strings.ContainsRune(" \t\n", rune(c)):
			end()
		case quote == 0 && strings.ContainsRune("|&;<>()`*?", rune(c)):
			return nil, fmt.Errorf("%q: only words are known", command[i:])
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	end()
	return words, nil
}

// nameAt returns the name of a variable that a text begins with.
func nameAt(text string) string {
	n := 0
	for n < len(text) && (text[n] == '_' || text[n] >= 'A' && text[n] <= 'Z' || text[n] >= 'a' && text[n] <= 'z' || n > 0 && text[n] >= '0' && text[n] <= '9') {
		n++
	}
	return text[:n]
}

// helmCall is a call of helm, as far as the labs have it.
type helmCall struct {
	verb           string // install or uninstall
	release, chart string
	namespace      string
	set            []string
}

// parseHelm reads the words after "helm".
func parseHelm(words []string) (helmCall, error) {
	call := helmCall{namespace: "default"}
	var rest []string
	for len(words) > 0 {
		word, value, joined := strings.Cut(words[0], "=")
		words = words[1:]
		if !strings.HasPrefix(word, "-") {
			if joined {
				word += "=" + value
			}
			rest = append(rest, word)
			continue
		}
		if !joined {
			if len(words) == 0 {
				return call, fmt.Errorf("helm: nothing follows %s", word)
			}
			value, words = words[0], words[1:]
		}
		switch word {
		case "--set":
			call.set = append(call.set, value)
		case "-n", "--namespace":
			call.namespace = value
		default:
			return call, fmt.Errorf("helm: the flag %s is not known here", word)
		}
	}
	switch {
	case len(rest) == 3 && rest[0] == "install":
		call.verb, call.release, call.chart = rest[0], rest[1], rest[2]
	case len(rest) == 2 && (rest[0] == "delete" || rest[0] == "uninstall") && len(call.set) == 0:
		call.verb, call.release = "uninstall", rest[1]
	default:
		return call, fmt.Errorf("helm %s is not known here: install and delete are", strings.Join(rest, " "))
	}
	return call, nil
}
