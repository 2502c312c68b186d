package manifest

import "testing"

func TestDatesOfOtherForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ form, text, want string }{
		{"", "1990-02-17", "1990-02-17"},
		{"", "not a date", "not a date"}, // PassportInput.Validate refuses it
		{"", "17/02/1990", ""},
		{"DD/MM/YYYY", "17/02/1990", "1990-02-17"},
		{"dd/mm/yyyy", "7/2/1990", "1990-02-07"},
		{"DD/MM/YYYY", "02/17/1990", ""},
		{"DD/MM/YYYY", "1990-02-17", ""},
		{"DD/MM/YYYY", "17/02/90", ""},
		{"DD/MM/YYYY", "30/02/1990", ""},
		{"MM-DD-YYYY", "02-17-1990", "1990-02-17"},
		{"DD MMM YYYY", "17 feb 1990", "1990-02-17"},
		{"YYYYMMDD", "19900217", "1990-02-17"},
		{"DD/MM/YYYY", "", ""},
	} {
		f, err := ParseDateFormat(c.form)
		if err != nil {
			t.Fatal(err)
		}
		got, problem := f.iso(c.text)
		if got != c.want || (problem == nil) != (c.want != "" || c.text == "") {
			t.Errorf("%q as %s: %q, %v", c.text, c.form, got, problem)
		}
	}
	for _, wrong := range []string{"DD/MM/YY", "DD/DD/YYYY", "2/1/2006", "DDMM", "DD/MM/YYYY hh"} {
		if _, err := ParseDateFormat(wrong); err == nil {
			t.Errorf("--date-format %q was accepted", wrong)
		}
	}
}
