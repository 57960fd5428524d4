package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBlobs(t *testing.T) {
	tr := fresh(t)
	if _, ok := tr.Blob(t.Context(), "/api", "a"); ok {
		t.Error("there is a blob")
	}
	if err := tr.SetBlob(t.Context(), "/api", "a", Blob{Type: "x", Fetched: start, Body: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if err := tr.SetBlob(t.Context(), "/big", "a", Blob{Type: "x", Fetched: start, Body: make([]byte, maxBlobBytes+1)}); err != nil {
		t.Fatal(err)
	}
	for i := range maxBlobs + 5 {
		tr.now = tr.now.Add(time.Second)
		if err := tr.SetBlob(t.Context(), fmt.Sprint(i), "", Blob{Type: "x", Fetched: start.Add(time.Duration(i+1) * time.Second), Body: []byte("2")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := tr.Blob(t.Context(), "/api", "a"); ok {
		t.Error("the oldest is still there")
	}
	if b, ok := tr.Blob(t.Context(), "100", ""); !ok || string(b.Body) != "2" || b.Type != "x" || !b.Fetched.Equal(start.Add(101*time.Second)) {
		t.Errorf("%+v %v", b, ok)
	}
	if _, ok := tr.Blob(t.Context(), "/big", "a"); ok {
		t.Error("what is too large is stored")
	}
}

// Somebody who reads all of OpenAPI pushes nothing out that the node needs.
func TestBlobsThatStay(t *testing.T) {
	tr := fresh(t)
	const keys = "/openid/v1/jwks"
	if err := tr.SetBlob(t.Context(), keys, "a", Blob{Fetched: start, Body: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	for i := range maxBlobs + 5 {
		tr.now = tr.now.Add(time.Second)
		if err := tr.SetBlob(t.Context(), fmt.Sprint("/openapi/v3/apis/", i), "a", Blob{Fetched: start.Add(time.Duration(i+1) * time.Second), Body: []byte("2")}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{keys: true, "/openapi/v3/apis/3": false, fmt.Sprint("/openapi/v3/apis/", maxBlobs): true} {
		if _, ok := tr.Blob(t.Context(), path, "a"); ok != want {
			t.Errorf("%s: %v", path, ok)
		}
	}
}

func TestSurplus(t *testing.T) {
	use := func(path string, bytes, used int) blobUse {
		return blobUse{blobKey{path: path}, bytes, time.Unix(int64(used), 0)}
	}
	for name, c := range map[string]struct {
		blobs []blobUse
		want  string
	}{
		"nothing":                    {nil, ""},
		"all fit":                    {[]blobUse{use("/a", 40, 1), use("/b", 40, 2), use("/c", 20, 3)}, ""},
		"too many":                   {[]blobUse{use("/a", 1, 3), use("/b", 1, 1), use("/c", 1, 2), use("/d", 1, 4)}, "/b"},
		"too many bytes":             {[]blobUse{use("/a", 40, 3), use("/b", 40, 1), use("/c", 40, 2)}, "/b"},
		"several go":                 {[]blobUse{use("/a", 90, 3), use("/b", 40, 1), use("/c", 40, 2)}, "/b /c"},
		"OpenAPI first":              {[]blobUse{use("/a", 40, 1), use("/openapi/v3", 40, 3), use("/c", 40, 2)}, "/openapi/v3"},
		"then single groups":         {[]blobUse{use("/openid/v1/jwks", 40, 1), use("/apis/g/v", 40, 3), use("/apis", 40, 2)}, "/apis/g/v"},
		"of a rank the oldest first": {[]blobUse{use("/openapi/b", 60, 3), use("/openapi/a", 60, 2), use("/x", 40, 1)}, "/openapi/a"},
	} {
		var got []string
		for _, k := range surplus(c.blobs, 3, 100) {
			got = append(got, k.path)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %q go, want %q", name, text, c.want)
		}
	}
}

// All blobs together have a limit; those that are used stay.
func TestBlobsBytes(t *testing.T) {
	tr := fresh(t)
	body := make([]byte, maxBlobBytes)
	const n = maxBlobsBytes/maxBlobBytes + 3
	set := func(i int) {
		t.Helper()
		tr.now = tr.now.Add(time.Second)
		if err := tr.SetBlob(t.Context(), fmt.Sprint("/apis/g/", i), "a", Blob{Fetched: tr.now, Body: body}); err != nil {
			t.Fatal(err)
		}
		tr.now = tr.now.Add(time.Second)
		if _, ok := tr.Blob(t.Context(), "/apis/g/0", "a"); !ok { // somebody uses it all the time
			t.Fatalf("with %d blobs what is used goes", i)
		}
	}
	for i := range n {
		set(i)
	}
	var there []int
	for i := range n {
		if _, ok := tr.Blob(t.Context(), fmt.Sprint("/apis/g/", i), "a"); ok {
			there = append(there, i)
		}
	}
	if want := []int{0, n - 3, n - 2, n - 1}; !slices.Equal(there, want) {
		t.Errorf("%v are there, want %v", there, want)
	}
}
