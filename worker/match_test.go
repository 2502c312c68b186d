package worker

import (
	"testing"

	"github.com/kycq/kycq/storage"
)

func TestComparisonsAreByMeaning(t *testing.T) {
	t.Parallel()
	const yes, no, told = storage.MatchYes, storage.MatchNo, storage.NotTold
	for _, c := range []struct {
		what           string
		forms          func(string) []string
		vendors, input string
		want           storage.Match
	}{
		{"date", dateForms, "1990-02-17", "1990-02-17", yes},
		{"date", dateForms, "17/02/1990", "1990-02-17", yes},
		{"date", dateForms, "17-02-1990", "1990-02-17", yes},
		{"date", dateForms, "7-2-1990", "1990-02-07", yes},
		{"date", dateForms, "17.02.1990", "1990-02-17", yes},
		{"date", dateForms, "1990/02/17", "1990-02-17", yes},
		{"date", dateForms, "19900217", "1990-02-17", yes},
		{"date", dateForms, "17-FEB-1990", "1990-02-17", yes},
		{"date", dateForms, " 17  February 1990 ", "1990-02-17", yes},
		{"date", dateForms, "1990-02-17T00:00:00.000Z", "1990-02-17", yes},
		{"date", dateForms, "1990-02-17 00:00:00.0", "1990-02-17", yes},
		{"date", dateForms, "17/02/1990 00:00", "1990-02-17", yes},
		{"date", dateForms, "02/03/1990", "1990-02-03", no}, // the day comes first
		{"date", dateForms, "1990-02-18", "1990-02-17", no},
		{"date", dateForms, "", "1990-02-17", told},
		{"date", dateForms, "XX-XX-1990", "1990-02-17", told},
		{"date", dateForms, "31/02/1990", "1990-02-17", told},
		{"number", numberForms, "BN 1234-5678/ 9", "bn123456789", yes},
		{"number", numberForms, "BN123456788", "BN123456789", no},
		{"number", numberForms, " - ", "BN123456789", told},
		{"name", nameForms, "Mr. SPECIMEN  PERSON", "Specimen Person", yes},
		{"name", nameForms, "Prof Dr. Specimen Person", "Shri Specimen Person", yes},
		{"name", nameForms, "SPECIMENPERSON", "Specimen Person", yes},
		{"name", nameForms, "Specimen O'Person", "Specimen OPerson", yes},
		{"name", nameForms, "Mr", "Mr", yes}, // all that there is
		{"name", nameForms, "Sridevi Specimen", "Mr. Sri Devi Specimen", yes},
		{"name", nameForms, "Specimen Dr Person", "Specimen Person", no},
		{"name", nameForms, "Specimen", "Specimen Person", no},
		{"name", nameForms, "Specimen Person", "", told},
		{"name", nameForms, " . ", "Specimen Person", told},
	} {
		if got := match(c.vendors, c.input, c.forms); got != c.want {
			t.Errorf("%s %q of the vendor, %q of the input: %s, want %s", c.what, c.vendors, c.input, got, c.want)
		}
	}
}
