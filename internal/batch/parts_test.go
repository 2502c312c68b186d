package batch

import (
	"testing"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// writeParts writes a manifest of passports.
func writeParts(t *testing.T, store *storage.Store, keyset *tasks.Keyset, b *Batch, row func(n int) (id, number string)) {
	t.Helper()
	var err error
	if b.SealedColumns, err = SealColumns(keyset, b.Kind, b.ID, []string{"verification_id", "file_number", "dob", "name"}); err != nil {
		t.Fatal(err)
	}
	parts := PartsOf(store, keyset, b)
	for n := range manifest.Parts(b.Rows) {
		part := &manifest.Part{Number: n}
		for i := n * manifest.PartRows; i < min((n+1)*manifest.PartRows, b.Rows); i++ {
			id, number := row(i + 1)
			input, err := tasks.EncodeInput(tasks.Input{Passport: &tasks.PassportInput{
				FileNumber: tasks.NewPersonal(number), DOB: tasks.NewPersonal("1990-01-31"), Name: tasks.NewPersonal("SPECIMEN Person"),
			}})
			if err != nil {
				t.Fatal(err)
			}
			part.Items = append(part.Items, manifest.Item{
				Row: i + 1, Line: i + 2, ID: id, Input: input, Fields: []string{id, number, "1990-01-31", "SPECIMEN Person"},
			})
		}
		if err := parts.Write(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPartCannotReplaceAnother(t *testing.T) {
	t.Parallel()
	h := newSetup(t)
	b := h.batch("parts", 1001)
	body := h.object(partKey(b.ID, b.Plan, 1))
	if _, err := manifest.OpenPart([]byte(body), h.keyset, b.Kind, b.ID, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.OpenPart([]byte(body), h.keyset, b.Kind, b.ID, 0); err == nil {
		t.Error("part 1 opened as part 0")
	}
	if _, err := manifest.OpenPart([]byte(body), h.keyset, b.Kind, "other-00000000", 1); err == nil {
		t.Error("a part opened as one of another batch")
	}
}
