package faults

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"sync"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Texts that jobs carry and that must not be readable anywhere (leaks_test.go).
const (
	canaryNumber = "CANARYQUOKKA"
	canaryName   = "Canaryquokka Specimen"
	canaryDOB    = "1931-07-23"
	canarySecret = "quokka-specimen-secret"
)

// job is a job that a scenario has submitted, with the outcome that the vendor decides.
type job struct {
	kind tasks.Kind
	id   string
	want storage.State
	// upload is the unmasked image, which is deleted after the vendor has answered; nil for a passport.
	upload *tasks.Image
}

// card is a small image that the simulator masks. In blank it finds no card.
var (
	card  = sync.OnceValue(func() []byte { return encode(drawn()) })
	blank = sync.OnceValue(func() []byte {
		page := image.NewGray(image.Rect(0, 0, 320, 200))
		draw.Draw(page, page.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
		return encode(page)
	})
	masked = sync.OnceValue(func() image.Image {
		img, ok := specimen.Mask(drawn())
		if !ok {
			panic("the specimen cannot be masked")
		}
		return img
	})
)

func drawn() image.Image {
	return specimen.Draw(specimen.Card{Layout: specimen.PVC, Person: specimen.NewPerson(7), Version: 6, Scale: 0.4})
}

// mask is the simulator's masker. It knows the result for the one card that is used, which saves time.
func mask(img image.Image) (image.Image, bool) {
	if img.Bounds() != masked().Bounds() {
		return nil, false
	}
	return masked(), true
}

func encode(img image.Image) []byte {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// enqueue submits n jobs of alternating kinds and lanes. One in six is a document that the vendor finds invalid.
func (s *stack) enqueue(n int) []job {
	s.t.Helper()
	jobs := make([]job, n)
	var all sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range 8 {
		all.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				jobs[i] = s.enqueueOne(tasks.Kinds()[i%2], tasks.Lanes()[i/2%2], i%6 >= 4)
			}
		})
	}
	all.Wait()
	return jobs
}

// enqueueKind submits n jobs of one kind and lane, all of which the vendor finds valid.
func (s *stack) enqueueKind(n int, kind tasks.Kind, lane tasks.Lane) []job {
	s.t.Helper()
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = s.enqueueOne(kind, lane, false)
	}
	return jobs
}

func (s *stack) enqueueOne(kind tasks.Kind, lane tasks.Lane, invalid bool) job {
	j := s.nextJob(kind, invalid)
	task := s.task(j, lane)
	j.upload = task.Input.Image
	s.retry("enqueue "+j.id, func() error {
		_, err := s.client.Enqueue(s.t.Context(), task)
		return err
	})
	s.mu.Lock()
	s.accepted = append(s.accepted, j)
	s.mu.Unlock()
	return j
}

// taskAgain is the same job once more, without another upload of its image.
func (s *stack) taskAgain(j job) tasks.Job {
	if j.upload == nil {
		return s.task(j, tasks.Live)
	}
	return tasks.Job{Kind: j.kind, VerificationID: j.id, Lane: tasks.Live, Input: tasks.Input{Image: j.upload}}
}

func (s *stack) nextJob(kind tasks.Kind, invalid bool) job {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named++
	j := job{kind: kind, id: fmt.Sprintf("F-%05d", s.named), want: storage.StateValid}
	if invalid {
		j.want = storage.StateInvalid
	}
	return j
}

// task is the job as a producer submits it, its image uploaded.
func (s *stack) task(j job, lane tasks.Lane) tasks.Job {
	t := tasks.Job{Kind: j.kind, VerificationID: j.id, Lane: lane}
	if j.kind == tasks.Passport {
		number := canaryNumber + j.id[2:] + "7" // the simulator decides by the end: 0000 is invalid
		if j.want == storage.StateInvalid {
			number = canaryNumber + "0000"
		}
		t.Input.Passport = &tasks.PassportInput{
			FileNumber: tasks.NewPersonal(number), DOB: tasks.NewPersonal(canaryDOB), Name: tasks.NewPersonal(canaryName),
		}
		return t
	}
	content := card()
	if j.want == storage.StateInvalid {
		content = blank()
	}
	s.retry("upload the image of "+j.id, func() error {
		ref, err := s.store.UploadImage(s.t.Context(), storage.SingleGroup, j.id, bytes.NewReader(content))
		t.Input.Image = &ref
		return err
	})
	return t
}

// retry repeats what failed, as a producer does: the machine may be busy.
func (s *stack) retry(what string, do func() error) {
	s.t.Helper()
	var err error
	for range 5 {
		if err = do(); err == nil {
			return
		}
		pause(s.t, pollInterval)
	}
	s.t.Errorf("%s: %v", what, err)
}

func count[T any](of []T, is func(T) bool) (n int) {
	for _, v := range of {
		if is(v) {
			n++
		}
	}
	return n
}

// between checks that a count is within limits.
func between(t testing.TB, what string, got, least, most int) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %d, want %d to %d", what, got, least, most)
	}
}
