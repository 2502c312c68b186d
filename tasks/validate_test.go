package tasks_test

import (
	"bytes"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/tasks"
)

func codeOf(err error) string {
	var invalid *tasks.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestVerificationIDRules(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"ABC00123":                 "",
		"a":                        "",
		"._-a":                     "",
		strings.Repeat("x", 50):    "",
		"":                         "verification_id_missing",
		strings.Repeat("x", 51):    "verification_id_length_exceeded",
		"...":                      "verification_id_value_invalid",
		"..":                       "verification_id_value_invalid",
		"a/b":                      "verification_id_value_invalid",
		"a b":                      "verification_id_value_invalid",
		"a#2":                      "verification_id_value_invalid",
		"é":                        "verification_id_value_invalid",
		"a\x00":                    "verification_id_value_invalid",
		"ABC.k1.ABCDEFG2":          "verification_id_reserved",
		"abc.K12.abcdefg2":         "verification_id_reserved",
		"ABC.k1.ABCDEFG1":          "", // 1 is not base32
		"ABC.k1.ABCDEFG2.suffixed": "",
	} {
		if got := codeOf(tasks.ValidateID(id)); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

func TestPassportRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ number, dob, name, want string }{
		{"PA1079341954215", "2007-03-01", "SPECIMEN", ""},
		{"A", "1900-01-02", "", ""},
		{"", "2007-03-01", "", "file_number_missing"},
		{"PA 1", "2007-03-01", "", "file_number_value_invalid"},
		{strings.Repeat("1", 21), "2007-03-01", "", "file_number_value_invalid"},
		{"PA1", "", "", "dob_missing"},
		{"PA1", "2007-02-30", "", "dob_value_invalid"},
		{"PA1", "01-03-2007", "", "dob_value_invalid"},
		{"PA1", "2007-3-1", "", "dob_value_invalid"},
		{"PA1", "1900-01-01", "", "dob_value_invalid"},
		{"PA1", "2999-01-01", "", "dob_value_invalid"},
		{"PA1", "2007-03-01", strings.Repeat("x", 201), "name_length_exceeded"},
		{"PA1", "2007-03-01", "श्री राम", ""},
		{"PA1", "2007-03-01", "SPECIMEN\r\n", "name_value_invalid"},
		{"PA1", "2007-03-01", "SPECIMEN\xff", "name_value_invalid"},
		{"PA1\n", "2007-03-01", "", "file_number_value_invalid"},
		{"PA१", "2007-03-01", "", "file_number_value_invalid"},
		{"PA1", "२००७-०३-०१", "", "dob_value_invalid"},
		{"PA1", "2007-03-01\r", "", "dob_value_invalid"},
	} {
		job := tasks.Job{Kind: tasks.Passport, VerificationID: "a", Input: tasks.Input{Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal(c.number), DOB: tasks.NewPersonal(c.dob), Name: tasks.NewPersonal(c.name),
		}}}
		err := job.Validate()
		if got := codeOf(err); got != c.want {
			t.Errorf("%+v: got %q, want %q", c, got, c.want)
		}
		if err != nil && c.dob != "" && strings.Contains(err.Error(), c.dob) && c.want == "dob_value_invalid" && c.dob != "1900-01-01" {
			t.Errorf("the error quotes the date of birth: %v", err)
		}
	}
}

func TestJobRulesNameTheField(t *testing.T) {
	t.Parallel()
	img := tasks.Input{Image: &tasks.Image{Bucket: "cards", Key: "k"}}
	for name, c := range map[string]struct {
		job  tasks.Job
		want string
	}{
		"fine":             {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a", Input: img}, ""},
		"kind":             {tasks.Job{Kind: "pan", VerificationID: "a", Input: img}, "kind_invalid"},
		"lane":             {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a", Lane: "slow", Input: img}, "lane_invalid"},
		"run":              {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a", Run: -1, Input: img}, "run_invalid"},
		"no image":         {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a"}, "image_missing"},
		"no key":           {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a", Input: tasks.Input{Image: &tasks.Image{Bucket: "cards"}}}, "image_missing"},
		"long key":         {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a", Input: tasks.Input{Image: &tasks.Image{Bucket: "cards", Key: strings.Repeat("k", 1025)}}}, "image_key_invalid"},
		"bucket's form":    {tasks.Job{Kind: tasks.Aadhaar, VerificationID: "a", Input: tasks.Input{Image: &tasks.Image{Bucket: "My_Cards", Key: "k"}}}, "image_bucket_invalid"},
		"passport's input": {tasks.Job{Kind: tasks.Passport, VerificationID: "a", Input: img}, "passport_missing"},
	} {
		if got := codeOf(c.job.Validate()); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestImageRules(t *testing.T) {
	t.Parallel()
	var asJPEG, asPNG, asGIF bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, 30, 20))
	if err := jpeg.Encode(&asJPEG, img, nil); err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&asPNG, img); err != nil {
		t.Fatal(err)
	}
	if err := gif.Encode(&asGIF, img, nil); err != nil { // an app may have image/gif registered
		t.Fatal(err)
	}
	progressiveCMYK := []byte("\xff\xd8\xff\xc2\x00\x14\x08\x00\x14\x00\x1e\x04\x01\x11\x00\x02\x11\x00\x03\x11\x00\x04\x11\x00\xff\xda\x00\x08")
	longEXIF := slices.Concat([]byte("\xff\xd8"), bytes.Repeat(append([]byte("\xff\xe1\xff\xff"), make([]byte, 65533)...), 5), asJPEG.Bytes()[2:])
	noIHDR := slices.Concat(asPNG.Bytes()[:8], []byte("\x00\x00\x00\x00IEND\xae\x42\x60\x82"))
	bomb := bytes.Clone(asPNG.Bytes()[:33])
	copy(bomb[16:24], []byte{0, 0, 0x2e, 0xe0, 0, 0, 0x2e, 0xe0}) // 12000 x 12000, its checksum now wrong
	for name, c := range map[string]struct {
		head []byte
		size int64
		want string
	}{
		"jpeg":             {asJPEG.Bytes(), int64(asJPEG.Len()), ""},
		"png":              {asPNG.Bytes(), int64(asPNG.Len()), ""},
		"at limit":         {asPNG.Bytes(), tasks.MaxImageBytes, ""},
		"empty":            {nil, 0, "image_empty"},
		"too large":        {asPNG.Bytes(), tasks.MaxImageBytes + 1, "image_too_large"},
		"pdf":              {[]byte("%PDF-1.7 SPECIMEN"), 17, "image_is_pdf"},
		"gif":              {[]byte("GIF89a SPECIMEN"), 15, "image_type_invalid"},
		"text":             {[]byte("SPECIMEN"), 8, "image_type_invalid"},
		"real gif":         {asGIF.Bytes(), int64(asGIF.Len()), "image_type_invalid"},
		"progressive cmyk": {progressiveCMYK, int64(len(progressiveCMYK)), ""},
		"long exif":        {longEXIF, int64(len(longEXIF)), ""},
		"cut in exif":      {longEXIF[:tasks.ImageHeadBytes], int64(len(longEXIF)), "image_header_invalid"},
		"png without ihdr": {noIHDR, int64(len(noIHDR)), "image_header_invalid"},
		"cut jpeg":         {asJPEG.Bytes()[:20], int64(asJPEG.Len()), "image_header_invalid"},
		"bomb":             {bomb, 59, "image_header_invalid"},
	} {
		info, err := tasks.ValidateImage(c.head, c.size)
		if got := codeOf(err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if err == nil && (info.Width != 30 || info.Height != 20 || info.Ext == "") {
			t.Errorf("%s: %+v", name, info)
		}
	}
}

func TestEveryInvalidFieldIsReported(t *testing.T) {
	t.Parallel()
	job := tasks.Job{VerificationID: "a b", Kind: tasks.Passport, Lane: "slow", Run: -1, Input: tasks.Input{Passport: &tasks.PassportInput{
		FileNumber: tasks.NewPersonal("?"), Name: tasks.NewPersonal("SPECIMEN\n"),
	}}}
	var invalid *tasks.InvalidJobError
	if err := job.Validate(); !errors.As(err, &invalid) {
		t.Fatalf("got %v, want an InvalidJobError", err)
	}
	var got []string
	for _, field := range invalid.Fields {
		got = append(got, field.Field+" "+field.Code)
	}
	want := []string{
		"verification_id verification_id_value_invalid", "lane lane_invalid", "run run_invalid",
		"file_number file_number_value_invalid", "dob dob_missing", "name name_value_invalid",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := invalid.Error(); strings.Count(text, "; ") != len(want)-1 || strings.Contains(text, "SPECIMEN") {
		t.Errorf("the message is %q", text)
	}
}
