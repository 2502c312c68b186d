package simulator_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/qr"
)

func encoded(t *testing.T, img image.Image, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, img)
	if format == "jpeg" {
		b.Reset()
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 92})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fetch follows an image_link over TCP.
func fetch(t *testing.T, link string) reply {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

func TestASpecimenCardIsMaskedInItsOwnFormat(t *testing.T) {
	t.Parallel()
	for layout, format := range map[specimen.Layout]string{specimen.PVC: "jpeg", specimen.Short: "png"} {
		t.Run(string(layout)+" "+format, func(t *testing.T) {
			t.Parallel()
			srv := simtest.Start(t, account)
			card := encoded(t, specimen.Draw(specimen.Card{Layout: layout, Person: specimen.NewPerson(7), Tough: true}), format)
			got := do(t, maskRequest(srv.URL, "card", card))
			if got.Result != "VALID" || got.VerificationID != "card" || got.ReferenceID == 0 {
				t.Fatalf("answer: %s", got.Raw)
			}
			served := fetch(t, got.ImageLink)
			if served.Status != 200 || served.Header.Get("Content-Type") != "image/"+format {
				t.Fatalf("image: %d %v", served.Status, served.Header)
			}
			masked, kind, err := image.Decode(bytes.NewReader(served.Raw))
			if err != nil || kind != format {
				t.Fatalf("decode %s: %v", kind, err)
			}
			source, _, _ := image.Decode(bytes.NewReader(card))
			if masked.Bounds().Size() != source.Bounds().Size() {
				t.Errorf("size %v, was %v", masked.Bounds(), source.Bounds())
			}
			if codes, _ := qr.Find(masked); len(codes) != 0 {
				t.Errorf("the QR code still shows: %+v", codes)
			}
		})
	}
}

func TestOtherImagesAreInvalidDocumentsAndCharged(t *testing.T) {
	t.Parallel()
	srv := simtest.Start(t, account)
	card := encoded(t, specimen.Draw(specimen.Card{Layout: specimen.Short, Person: specimen.NewPerson(1)}), "png")
	for name, img := range map[string][]byte{
		"blank":   picture(t),
		"cut":     card[:len(card)/2],
		"garbage": append([]byte("\xff\xd8\xff"), make([]byte, 500)...),
		"huge":    hugePNG(),
	} {
		got := do(t, maskRequest(srv.URL, name, img))
		if got.Status != 200 || got.Result != "INVALID_DOCUMENT" || got.ImageLink != "" || got.VerificationID != name {
			t.Errorf("%s: %d %s", name, got.Status, got.Raw)
		}
		if srv.Charges(t, name) != 1 {
			t.Errorf("%s: not charged", name)
		}
	}
}

// hugePNG is a header that asks for 60,000 × 60,000 pixels, and no image.
func hugePNG() []byte {
	chunk := []byte("IHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x06\x00\x00\x00")
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(chunk))
}

func TestLinksExpireAndCannotBeForged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, simulator.Config{Masker: blank, LinkTTL: time.Minute, PublicURL: "https://images.example/"})
		got := call(sim, maskRequest("", "a", picture(t)))
		if !strings.HasPrefix(got.ImageLink, "https://images.example/_images/") {
			t.Fatalf("link %s", got.ImageLink)
		}
		link, err := url.Parse(got.ImageLink)
		if err != nil {
			t.Fatal(err)
		}
		get := func(target string) int {
			r, _ := http.NewRequest(http.MethodGet, target, nil)
			return call(sim, r).Status
		}
		target := link.RequestURI()
		if got := get(target); got != 200 {
			t.Errorf("fresh: %d", got)
		}
		later := strings.Replace(target, "expires=", "expires=9", 1)
		if get(later) != 403 || get(link.Path) != 403 || get(target+"0") != 403 {
			t.Error("a forged link was served")
		}
		pass(time.Minute - time.Millisecond)
		if got := get(target); got != 200 {
			t.Errorf("at the end of its life: %d", got)
		}
		pass(time.Millisecond)
		if got := get(target); got != 403 {
			t.Errorf("after it: %d", got)
		}
	})
}

func TestEachAnswerHasItsOwnLink(t *testing.T) {
	t.Parallel()
	sim := newSim(t, simulator.Config{Masker: blank})
	first := call(sim, maskRequest("", "a", picture(t))).ImageLink
	second := call(sim, maskRequest("", "b", picture(t))).ImageLink
	if first == second || first == "" {
		t.Errorf("links %s and %s", first, second)
	}
}

func TestFaultsOfTheLinkAreCharged(t *testing.T) {
	t.Parallel()
	cfg := account
	cfg.Masker = blank
	srv := simtest.Start(t, cfg)
	card := picture(t)
	for _, fault := range []string{"expired_link", "no_image_link", "unmasked", "wrong_id"} {
		addFault(t, srv.Sim, simulator.Fault{Fault: fault, VerificationID: fault})
		got := do(t, maskRequest(srv.URL, fault, card))
		if got.Status != 200 || got.Result != "VALID" || srv.Charges(t, fault) != 1 {
			t.Errorf("%s: %d %s", fault, got.Status, got.Raw)
		}
		switch fault {
		case "expired_link":
			if served := fetch(t, got.ImageLink); served.Status != 403 {
				t.Errorf("expired link: %d", served.Status)
			}
		case "no_image_link":
			if strings.Contains(string(got.Raw), `"image_link"`) {
				t.Errorf("no_image_link: %s", got.Raw)
			}
		case "unmasked":
			if served := fetch(t, got.ImageLink); !bytes.Equal(served.Raw, card) {
				t.Error("unmasked: the image is not the one that was sent")
			}
		case "wrong_id":
			if got.VerificationID != "another-wrong_id" {
				t.Errorf("wrong_id: %s", got.Raw)
			}
		}
	}
	if served := fetch(t, do(t, maskRequest(srv.URL, "fine", card)).ImageLink); bytes.Equal(served.Raw, card) {
		t.Error("a call without fault serves the upload: the fault before it stuck")
	}
}

func TestARepeatedUploadIsMaskedOnce(t *testing.T) {
	t.Parallel()
	var masked atomic.Int32
	cfg := account
	cfg.Masker = func(img image.Image) (image.Image, bool) {
		masked.Add(1)
		return blank(img)
	}
	srv := simtest.Start(t, cfg)
	for _, id := range []string{"a", "b", "c", "d"} {
		if got := do(t, maskRequest(srv.URL, id, picture(t))); fetch(t, got.ImageLink).Status != 200 {
			t.Errorf("%s: %s", id, got.Raw)
		}
	}
	if n := masked.Load(); n != 1 {
		t.Errorf("masked %d times", n)
	}
}
