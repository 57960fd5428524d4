package announced

import (
	"fmt"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers/mqtt/details"
)

func TestHomeAssistant(t *testing.T) {
	const light = "homeassistant/light/a/config="
	plain := light + `{"device":{"identifiers":["a"]},"availability_topic":"t"}`
	list := func(mode string) string {
		return light + `{"dev":{"ids":"a"},"avty":[{"topic":"t"},{"t":"u","pl_avail":"1","pl_not_avail":"0"}],"avty_mode":"` + mode + `"}`
	}
	template := func(text string) string {
		return light + `{"dev":{"ids":"a"},"avty":{"t":"t","val_tpl":"` + text + `"}}`
	}
	for name, c := range map[string]struct {
		told []string
		want string
	}{
		"without availability":  {[]string{light + `{"dev":{"ids":"a"}}`}, "homeassistant/a"},
		"nothing said":          {[]string{plain}, ""},
		"online":                {[]string{plain, "t=online"}, "homeassistant/a"},
		"offline":               {[]string{plain, "t=online", "t=offline"}, ""},
		"said before":           {[]string{"t=online", plain}, ""}, // it was not subscribed to
		"neither":               {[]string{plain, "t=online", "t=hm"}, "homeassistant/a"},
		"availability cleared":  {[]string{plain, "t=online", "t="}, ""},
		"configuration cleared": {[]string{plain, "t=online", light}, ""},
		"configuration bad":     {[]string{plain, "t=online", light + "{"}, "homeassistant/a"},
		"two entities, one on":  {[]string{plain, strings.NewReplacer("/a/", "/b/", `"t"`, `"u"`).Replace(plain), "t=offline", "u=online"}, "homeassistant/a"},
		"latest":                {[]string{list("latest"), "t=online", "u=0"}, ""},
		"latest, on":            {[]string{list(""), "u=0", "t=online"}, "homeassistant/a"},
		"all":                   {[]string{list("all"), "t=online", "u=0"}, ""},
		"all, on":               {[]string{list("all"), "t=online", "u=1"}, "homeassistant/a"},
		"any":                   {[]string{list("any"), "t=online", "u=0"}, "homeassistant/a"},
		"template":              {[]string{template("{{ value_json.state }}"), `t={"state":"online"}`}, "homeassistant/a"},
		"template, off":         {[]string{template("{{value_json.state}}"), `t={"state":"online"}`, `t={"state":"offline"}`}, ""},
		"template, deep":        {[]string{template("{{ value_json.a.b }}"), `t={"a":{"b":"online"}}`}, "homeassistant/a"},
		"template, not JSON":    {[]string{template("{{ value_json.state }}"), "t=online"}, ""},
		"template of nothing":   {[]string{template("{{ value }}"), "t=online"}, "homeassistant/a"},
		"template too clever":   {[]string{template("{% if value_json.x > 1 %}online{% endif %}"), "t=offline"}, "homeassistant/a"},
		"base topic":            {[]string{light + `{"~":"x/y","dev":{"ids":"a"},"avty_t":"~/t"}`, "x/y/t=online"}, "homeassistant/a"},
		"base topic at the end": {[]string{light + `{"~":"y","dev":{"ids":"a"},"avty_t":"x/~"}`, "x/y=online"}, "homeassistant/a"},
		"a node":                {[]string{`homeassistant/light/n/a/config={"dev":{"ids":7}}`}, "homeassistant/7"},
		"not a configuration":   {[]string{`homeassistant/light/n/a/b/config={"dev":{"ids":"a"}}`, `homeassistant/light/a/state={"dev":{"ids":"a"}}`, `homeassistant/a/config={"dev":{"ids":"a"}}`}, ""},
		"all of a device":       {[]string{`homeassistant/device/a/config={"dev":{"ids":"a"},"o":{"name":"x"},"cmps":{"b":{"p":"sensor"}},"avty_t":"t"}`, "t=online"}, "homeassistant/a"},
		"connections":           {[]string{light + `{"dev":{"cns":[["mac","00:11"]]}}`}, "homeassistant/mac:00:11"},
		"no device":             {[]string{light + `{"name":"x"}`}, ""},
		"device is null":        {[]string{light + `{"dev":null}`}, ""},
		"no identifiers":        {[]string{light + `{"dev":{"name":"x"}}`}, ""},
		"empty identifier":      {[]string{light + `{"dev":{"ids":[""]}}`}, ""},
		"control character":     {[]string{light + `{"dev":{"ids":"a\u0001"}}`}, ""},
		"identifier too long":   {[]string{light + `{"dev":{"ids":"` + strings.Repeat("x", 300) + `"}}`}, ""},
		"wildcard":              {[]string{light + `{"dev":{"ids":"a"},"avty_t":"#"}`}, ""},
		"deep":                  {[]string{light + `{"dev":{"ids":"a"},"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`}, ""},
		"deep in a text":        {[]string{light + `{"dev":{"ids":"a"},"x":"\"` + strings.Repeat("[", 100) + `"}`}, "homeassistant/a"},
	} {
		b, _ := newBook(t, everything)
		for _, m := range c.told {
			tell(b, m, t0)
		}
		if got := ids(b); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What entities say of their device is put together, in the order of their topics.
func TestHomeAssistantInfo(t *testing.T) {
	b, _ := newBook(t, everything)
	for _, m := range []string{
		`homeassistant/sensor/b/config={"dev":{"ids":["d","e"],"name":"Second","mf":"M","mdl":"X","sw":"1","hw":2,"sn":"3","sa":"Hall"}}`,
		`homeassistant/light/a/config={"device":{"identifiers":"d","name":"First","manufacturer":null}}`,
	} {
		tell(b, m, t0)
	}
	want := []Device{{ID: "homeassistant/d", Convention: details.HomeAssistant, Own: "d",
		ConfigTopics: []string{"homeassistant/light/a/config", "homeassistant/sensor/b/config"},
		Info:         Info{Name: "First", Manufacturer: "M", Model: "X", Firmware: "1", Hardware: "2", Serial: "3", Location: "Hall"}}}
	if got := b.Devices(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// A problem is named by its first topic, and goes with it.
func TestProblems(t *testing.T) {
	b, _ := newBook(t, everything)
	for _, c := range []struct {
		message string
		news    bool
		want    string
	}{
		{"homeassistant/light/a/config=7", true, "map[malformed:homeassistant/light/a/config]"},
		{"homeassistant/light/b/config=7", false, "map[malformed:homeassistant/light/a/config]"},
		{"homeassistant/light/c/config={}", true, "map[deviceless:homeassistant/light/c/config malformed:homeassistant/light/a/config]"},
		{"homeassistant/light/a/config=", true, "map[deviceless:homeassistant/light/c/config]"},
		{`homeassistant/light/c/config={"dev":{"ids":"c"}}`, true, "map[]"},
		{"homie/old/$homie=2.0.1", true, "map[convention:homie/old/$homie]"},
		{"homie/old/$homie=2.0.1", false, "map[convention:homie/old/$homie]"},
		{"homie/old/$homie=4.0.0", true, "map[]"},
		{strings.Repeat("x", 600) + "=", true, "map[large:" + strings.Repeat("x", 600) + "]"},
	} {
		if news := tell(b, c.message, t0); news != c.news || fmt.Sprint(b.Problems()) != c.want {
			t.Errorf("%.60s: news %v, problems %v, want %s", c.message, news, b.Problems(), c.want)
		}
	}
}
