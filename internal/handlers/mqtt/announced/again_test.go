package announced

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A device that a flood has kept out is asked for again when the flood is over.
func TestAgain(t *testing.T) {
	b, _ := newBook(t, "broker: mqtt://b\nhomie: {}\nhomeAssistant: {}")
	b.Wanted(1 << 20)
	n := 0
	for ; !b.full; n++ {
		tell(b, fmt.Sprintf("homie/%d/$name=%s", n, strings.Repeat("x", 250)), t0)
	}
	tell(b, "homie/late/$state=ready", t0)
	if news, next := b.Again(t0); news || next != t0.Add(againAfter) || b.Wants() {
		t.Errorf("asked for although there is no room: %v, %s", news, next)
	}
	for i := range n {
		tell(b, fmt.Sprintf("homie/%d/$name=", i), t0)
	}
	if news, _ := b.Again(t0.Add(time.Second)); news || b.Wants() {
		t.Error("asked for too soon")
	}
	news, _ := b.Again(t0.Add(againAfter))
	add, _ := b.Wanted(1 << 20)
	if want := b.announcements(); !news || !slices.Equal(add, want) || len(b.Problems()) > 0 {
		t.Errorf("news %v, asked for %q, want %q; problems %v", news, add, want, b.Problems())
	}
	if _, next := b.Again(t0.Add(2 * againAfter)); !next.IsZero() || b.Wants() {
		t.Errorf("asked for again, and then at %s", next)
	}
}

// Of more topics of availability than there are places those keep theirs that have
// one, also on another connection; others get one when it is free.
func TestPlacesOfTopics(t *testing.T) {
	b, _ := newBook(t, "broker: mqtt://b\nhomeAssistant: {}")
	entity := func(i int) string {
		return fmt.Sprintf(`homeassistant/l/%d/config={"dev":{"ids":"%[1]d"},"avty_t":"t/%[1]d"}`, i)
	}
	const more = 500
	for i := range maxAvailabilityTopics + more {
		tell(b, entity(i), t0)
	}
	subscribed := func() (with, without int) {
		add, _ := b.Wanted(1 << 20)
		for _, topic := range add {
			var i int
			if _, err := fmt.Sscanf(topic, "t/%d", &i); err == nil && i < maxAvailabilityTopics {
				with++
			} else if err == nil {
				without++
			}
		}
		return with, without
	}
	if with, without := subscribed(); with != maxAvailabilityTopics || without > 0 || b.hass.over != more {
		t.Fatalf("subscribed to %d and %d, %d are over", with, without, b.hass.over)
	}
	b.Connected(0)
	if with, without := subscribed(); with != maxAvailabilityTopics || without > 0 {
		t.Errorf("on another connection %d and %d", with, without)
	}
	for i := range more / 2 {
		tell(b, fmt.Sprintf("homeassistant/l/%d/config=", i), t0)
	}
	b.Again(t0)
	if with, without := subscribed(); with > 0 || without != more/2 || b.hass.over != more/2 || b.Problems()[Full] == "" {
		t.Errorf("subscribed to %d and %d when some have gone, %d are over, problems %v", with, without, b.hass.over, b.Problems())
	}
	for i := range maxAvailabilityTopics + more {
		tell(b, fmt.Sprintf("homeassistant/l/%d/config=", i), t0)
	}
	if b.hass.over != 0 || len(b.hass.topics) != 0 {
		t.Errorf("%d topics are left, %d are over", len(b.hass.topics), b.hass.over)
	}
}

// However many books are flooded, another gets some room.
func TestRoomForOthers(t *testing.T) {
	room := NewRoom(MaxBytes)
	total := 0
	for range 10 {
		held := 0
		for held+1000 <= maxBookBytes && room.take(held, 1000) {
			held += 1000
		}
		if total += held; held < 8<<10 || total > MaxBytes {
			t.Errorf("one gets %d bytes, all have %d", held, total)
		}
	}
}
