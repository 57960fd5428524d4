package simulator

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxFlood is how many fake ProbeMatches a camera sends at most for a Probe.
const MaxFlood = 100_000

// Faults are what is wrong with a camera. The zero value is a camera that works.
type Faults struct {
	// Silent: it answers neither probes nor requests, and says no Bye.
	// Connections are accepted, and nothing comes.
	Silent bool
	// Slow: every answer comes so much later.
	Slow time.Duration
	// Clock: its clock is so much ahead, or behind if negative.
	Clock time.Duration
	// Garbage: its answers are random bytes.
	Garbage bool
	// Endless: the body of each answer over HTTP never ends.
	Endless bool
	// Redirect: requests are sent on to this URL (307).
	Redirect string
	// Bomb: its answers have entities that grow without bounds.
	Bomb bool
	// Expired: its certificate has expired. Only with HTTPS.
	Expired bool
	// XAddrs: what it says its addresses are.
	XAddrs []string
	// Flood: to each Probe come so many ProbeMatches of cameras that there are
	// not, before its own.
	Flood int
}

// String returns the faults as [Command] reads them, "well" if there are none.
func (f Faults) String() string {
	var words []string
	flag := func(is bool, word string) {
		if is {
			words = append(words, word)
		}
	}
	flag(f.Silent, "silent")
	flag(f.Slow != 0, "slow="+f.Slow.String())
	flag(f.Clock != 0, "clock="+f.Clock.String())
	flag(f.Garbage, "garbage")
	flag(f.Endless, "endless")
	flag(f.Redirect != "", "redirect="+f.Redirect)
	flag(f.Bomb, "bomb")
	flag(f.Expired, "expired")
	flag(f.XAddrs != nil, "xaddrs="+strings.Join(f.XAddrs, ","))
	flag(f.Flood != 0, "flood="+strconv.Itoa(f.Flood))
	flag(len(words) == 0, "well")
	return strings.Join(words, " ")
}

// Command is what can be told to a camera with words: faults, and what it does.
type Command struct {
	// Faults replace those that it has. Nil leaves them.
	Faults *Faults
	// Move is its new address, if valid.
	Move netip.Addr
	// Start, Stop (with Bye), Vanish (without), and Hello once more.
	Start, Stop, Vanish, Hello bool
}

// ParseCommand reads words such as "silent", "slow=2s clock=-1h", "well",
// "move=192.0.2.7", "vanish". Faults that are named together are had together.
func ParseCommand(text string) (Command, error) {
	var c Command
	faults := Faults{}
	words := strings.Fields(text)
	if len(words) == 0 {
		return c, fmt.Errorf("no fault is named: say one of %s", strings.Join(Words(), ", "))
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		isFault, err := faults.set(key, value)
		if isFault {
			c.Faults = &faults
		} else {
			err = c.set(key, value)
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", word, err)
		}
	}
	return c, nil
}

// Words are what ParseCommand knows, in order, with the form of their values.
func Words() []string {
	return []string{"well", "silent", "slow=2s", "clock=-1h", "garbage", "endless", "redirect=URL", "bomb", "expired",
		"xaddrs=URL,URL", "flood=10000", "move=ADDRESS", "stop", "vanish", "start", "hello"}
}

// set sets a fault; it says whether the word is one.
func (f *Faults) set(key, value string) (isFault bool, err error) {
	switch key {
	case "well":
	case "silent":
		f.Silent = true
	case "slow":
		f.Slow, err = time.ParseDuration(value)
		if err == nil && (f.Slow < 0 || f.Slow > time.Hour) {
			err = fmt.Errorf("it is a time from 0 to 1h")
		}
	case "clock":
		f.Clock, err = time.ParseDuration(value)
	case "garbage":
		f.Garbage = true
	case "endless":
		f.Endless = true
	case "redirect":
		f.Redirect = value
		err = checkURL(value)
	case "bomb":
		f.Bomb = true
	case "expired":
		f.Expired = true
	case "xaddrs":
		f.XAddrs = strings.Split(value, ",")
		for _, x := range f.XAddrs {
			if err == nil {
				err = checkURL(x)
			}
		}
	case "flood":
		f.Flood, err = strconv.Atoi(value)
		if err == nil && (f.Flood < 1 || f.Flood > MaxFlood) {
			err = fmt.Errorf("it is a number from 1 to %d", MaxFlood)
		}
	default:
		return false, nil
	}
	return true, err
}

func (c *Command) set(key, value string) (err error) {
	switch key {
	case "move":
		c.Move, err = netip.ParseAddr(value)
	case "stop":
		c.Stop = true
	case "vanish":
		c.Vanish = true
	case "start":
		c.Start = true
	case "hello":
		c.Hello = true
	default:
		err = fmt.Errorf("it is none of %s", strings.Join(Words(), ", "))
	}
	return err
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err == nil && (u.Scheme == "" || u.Host == "" || strings.ContainsAny(s, " \t\r\n")) {
		err = fmt.Errorf("it is not a URL with a host")
	}
	return err
}
