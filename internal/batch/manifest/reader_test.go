package manifest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kycq/kycq/tasks"
)

// readAll returns the rows as "line: cells" and "line! code".
func readAll(t testing.TB, src io.Reader, kind tasks.Kind, mapping map[string]string) ([]string, []Row, error) {
	t.Helper()
	r, err := NewReader(src, kind, mapping)
	if err != nil {
		return nil, nil, err
	}
	var texts []string
	var rows []Row
	for {
		var row Row
		err := r.Next(&row)
		if errors.Is(err, io.EOF) {
			return texts, rows, nil
		}
		if err != nil {
			return texts, rows, err
		}
		rows = append(rows, row)
		if row.Problem != nil {
			texts = append(texts, fmt.Sprintf("%d! %s", row.Line, row.Problem.Code))
		} else {
			texts = append(texts, fmt.Sprintf("%d: %s", row.Line, strings.Join(row.Fields, "|")))
		}
	}
}

func TestTheReaderAcceptsFilesOfSpreadsheetsAndDatabases(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"BOM and CRLF":           {"\xef\xbb\xbffile_number,dob\r\nA1,1990-01-01\r\n", []string{"2: A1|1990-01-01"}},
		"any order, any case":    {"Name, DOB ,FILE_NUMBER\nx,1990-01-01,A1\n", []string{"2: x|1990-01-01|A1"}},
		"quoted newlines":        {"file_number,dob,note\nA1,1990-01-01,\"a\nb\"\nA2,1990-01-01,c\n", []string{"2: A1|1990-01-01|a\nb", "4: A2|1990-01-01|c"}},
		"no newline at the end":  {"file_number,dob\nA1,1990-01-01", []string{"2: A1|1990-01-01"}},
		"empty lines":            {"file_number,dob\n\nA1,1990-01-01\n\n\n", []string{"3: A1|1990-01-01"}},
		"a blank heading":        {"file_number,dob,\nA1,1990-01-01,x\n", []string{"2: A1|1990-01-01|x"}},
		"an escaped cell":        {"file_number,dob,note\nA1,1990-01-01,'=1+1\n", []string{"2: A1|1990-01-01|=1+1"}},
		"too few and too many":   {"file_number,dob\nA1\nA2,b,c\nA3,d\n", []string{"2! field_count_wrong", "3! field_count_wrong", "4: A3|d"}},
		"CR only":                {"file_number,dob\rA1,1990-01-01\rA2,1990-01-02\r", []string{"2: A1|1990-01-01", "3: A2|1990-01-02"}},
		"mixed line ends":        {"file_number,dob\nA1,a\r\nA2,b\rA3,c\r\r\nA4,d", []string{"2: A1|a", "3: A2|b", "4: A3|c", "6: A4|d"}},
		"two BOMs":               {"\xef\xbb\xbf\xef\xbb\xbffile_number,dob\nA1,b\n", []string{"2: A1|b"}},
		"sep=":                   {"sep=;\r\nfile_number;dob\r\nA1;\"b;c\"\r\n", []string{"3: A1|b;c"}},
		"rows of separators":     {"\n,,\nfile_number,dob\n,\nA1,b\n\"\", \n\u200b,\u00a0\n", []string{"5: A1|b"}},
		"an address on lines":    {"file_number,dob,address\nA1,b,\"Flat 3, MG Road,\nPune, 411001, India\"\n", []string{"2: A1|b|Flat 3, MG Road,\nPune, 411001, India"}},
		"JSONL, CR and types":    {"{\"file_number\":12,\"dob\":\"b\"}\r\r{\"file_number\":1e3}\r{\"dob\":true}\r{\"dob\":{}}\r{\"dob\":-1}", []string{"1: 12|b", "3! value_type_wrong", "4! value_type_wrong", "5! value_type_wrong", "6! value_type_wrong"}},
		"JSONL, keys twice":      {"{\"dob\":\"a\"}\n{\"dob\":\"a\",\"D o_b\":\"b\"}\n", []string{"1: a", "2! key_twice"}},
		"JSONL, a misspelled id": {"{\"verification_id\":\"A\"}\n{\"verificaton_id\":\"B\"}\n", []string{"1: A", "2! key_misspelled"}},
		"misplaced quotes":       {"file_number,dob\nA\"1,b\n\"A2\"x,b\nA3,d\n", []string{"2! syntax_invalid", "3! syntax_invalid", "4: A3|d"}},
		"NUL bytes":              {"file_number,dob\nA\x001,b\nA2,d\n", []string{"2! text_has_nul", "3: A2|d"}},
		"invalid UTF-8":          {"file_number,dob\nA\xff1,b\nA2,d\n", []string{"2! text_not_utf8", "3: A2|d"}},
		"JSONL": {
			"{\"file_number\":\"A1\",\"dob\":\"1990-01-01\",\"n\":12345678901234567890}\n\n{\"DOB\":\"x\",\"deep\":{\"a\":[1,2]}}\n",
			[]string{"1: A1|1990-01-01|12345678901234567890", "3: |x||{\"a\":[1,2]}"},
		},
		"JSONL gone wrong": {
			"{\"a\":1}\n{\"a\":\nnull\n{\"a\":2} x\n{\"a\":3}\n\xff\n",
			[]string{"1: 1", "2! syntax_invalid", "3! syntax_invalid", "4! syntax_invalid", "5: 3", "6! text_not_utf8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := readAll(t, strings.NewReader(c.text), tasks.Passport, nil)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestHeadingsAreFoundWhateverTheirSpelling(t *testing.T) {
	t.Parallel()
	for _, heading := range []string{
		"Verification ID", "verification-id", "verificationId", "VERIFICATION_ID", "\ufeffverification_id", "verification\u00a0id",
		"verification\u200b_id", "\u200everification\u2011id", " verification id ",
	} {
		_, rows, err := readAll(t, strings.NewReader("\"File Number\",dob,"+heading+"\nA1,1990-01-01,C1\n"), tasks.Passport, nil)
		if err != nil || rows[0].Get(ColumnID) != "C1" || rows[0].Get(ColumnFileNumber) != "A1" {
			t.Errorf("%q: %+v, %v", heading, rows, err)
		}
		_, rows, err = readAll(t, strings.NewReader("{\"file-number\":\"A1\",\""+heading+"\":\"C1\"}\n"), tasks.Passport, nil)
		if err != nil || rows[0].Get(ColumnID) != "C1" || rows[0].Get(ColumnFileNumber) != "A1" {
			t.Errorf("JSON %q: %+v, %v", heading, rows, err)
		}
	}
	const csv = "file_number,dob,fname\nA1,1990-01-01,x\n"
	if _, _, err := readAll(t, strings.NewReader(csv), tasks.Passport, nil); err == nil {
		t.Error("fname was silently not read as name")
	}
	for heading, want := range map[string]string{"-": "", "fname": "x"} {
		_, rows, err := readAll(t, strings.NewReader(csv), tasks.Passport, map[string]string{"name": heading})
		if err != nil || rows[0].Get(ColumnName) != want {
			t.Errorf("--map name=%s: %v", heading, err)
		}
	}
}

func TestOneSlip(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"dob", "do"}, {"dob", "dobs"}, {"dob", "dod"}, {"dob", "dbo"}, {"dob", "xdob"}, {"name", "nane"}} {
		if !oneSlip(pair[0], pair[1]) || !oneSlip(pair[1], pair[0]) {
			t.Errorf("%v are one slip apart", pair)
		}
	}
	for _, pair := range [][2]string{{"dob", "dob"}, {"dob", "d"}, {"dob", "bod"}, {"name", "note"}, {"", ""}} {
		if oneSlip(pair[0], pair[1]) || oneSlip(pair[1], pair[0]) {
			t.Errorf("%v are not one slip apart", pair)
		}
	}
}

func TestAMissingQuoteNeverSwallowsRows(t *testing.T) {
	t.Parallel()
	head := "verification_id,file_number,dob,name,note\n"
	row := func(id, name, note string) string { return id + ",A" + id + ",1990-01-01," + name + "," + note + "\n" }
	many := strings.Repeat(row("9", "x", "y"), 400)
	for name, c := range map[string]struct{ text, want string }{
		"never closed":                 {row("1", "x", "y") + row("2", "x", "\"y") + row("3", "x", "y"), "line 3:"},
		"never closed, many rows":      {row("1", "\"x", "y") + many, "line 2:"},
		"never closed in the last row": {row("1", "x", "y") + row("2", "x", "\"y"), "line 3:"},
		"another quoted cell":          {row("1", "x", "\"y") + row("2", "x", "y") + row("3", "x", "\"y, z\""), "line 2:"},
		"closed by a stray quote":      {row("1", "x", "\"y") + row("2", "x", "y") + row("3", "x", "y\""), "line 2:"},
		"closed in the next row":       {row("1", "x", "\"y") + row("2", "x", "y\""), "line 2:"},
		"in a column that kycq reads":  {row("1", "\"x", "y") + "2,A2,x\",y\n", "line 2:"},
		"in the first column":          {"\"" + row("1", "x", "y") + "2\"" + row("", "x", "y"), "line 2:"},
		"in the second cell of a row":  {row("1", "x", "\"a\nb\"") + row("2", "x", "\"y") + row("3", "x", "y\""), "line 4:"},
		"a row with an empty cell":     {row("1", "x", "\"y") + row("2", "x", "\"\"") + row("3", "x", "y\""), "line 2:"},
		"CR":                           {strings.ReplaceAll(row("1", "x", "\"y")+row("2", "x", "y\""), "\n", "\r"), "line 2:"},
	} {
		_, rows, err := readAll(t, strings.NewReader(head+c.text), tasks.Passport, nil)
		var file *FileError
		if !errors.As(err, &file) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
		}
	}
}

func TestMappedHeadingsNameColumns(t *testing.T) {
	t.Parallel()
	mapping, err := ParseMapping(tasks.Passport, []string{"verification_id=Customer ID", "file_number=nr"})
	if err != nil {
		t.Fatal(err)
	}
	_, rows, err := readAll(t, strings.NewReader("customer id,NR,dob\n C1 ,A1,1990-01-01\n"), tasks.Passport, mapping)
	if err != nil || rows[0].Get(ColumnID) != "C1" || rows[0].Get(ColumnFileNumber) != "A1" {
		t.Errorf("%+v, %v", rows, err)
	}
	_, rows, err = readAll(t, strings.NewReader("file number,dob\nA1,1990-01-01\n"), tasks.Passport, map[string]string{ColumnID: "file_number"})
	if err != nil || rows[0].Get(ColumnID) != "A1" || rows[0].Get(ColumnFileNumber) != "A1" {
		t.Errorf("one column for two: %+v, %v", rows, err)
	}
	for _, wrong := range []string{"verification_id", "image=x", "verification_id=", "nothing=x"} {
		if _, err := ParseMapping(tasks.Passport, []string{wrong}); err == nil {
			t.Errorf("--map %q was accepted", wrong)
		}
	}
}

func TestAnUnreadableFileExplainsTheFix(t *testing.T) {
	t.Parallel()
	wide := strings.Repeat("x,", 500) + "file_number,dob"
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {"", "empty"},
		"only blanks":        {" \n\n", "empty"},
		"zip":                {"PK\x03\x04rest", "zip"},
		"gzip":               {"\x1f\x8brest", "gunzip"},
		"UTF-16":             {"\xff\xfef\x00", "UTF-16"},
		"PDF":                {"%PDF-1.7", "PDF"},
		"NUL bytes":          {"a\x00b,c\n", "NUL"},
		"JSON array":         {"[{}]", "one object per line"},
		"printed JSON":       {"{\n  \"file_number\": \"A1\"\n}\n", "jq -c"},
		"sep=x":              {"sep=x\nfile_numberxdob\n", "separator"},
		"no id by a slip":    {"verificaton_id,file_number,dob\n", "--map verification_id=\"verificaton_id\""},
		"two ids":            {"verification_id,Verification ID,file_number,dob\n", "same heading"},
		"semicolons":         {"file_number;dob\nA1;1990-01-01\n", "semicolons"},
		"a column missing":   {"file_number,name\nA1,x\n", `no column "dob"`},
		"500 columns":        {wide, "502 columns"},
		"the same heading":   {"dob,file_number,DOB\n", "same heading"},
		"invalid headings":   {"dob,file_number\xff\n", "UTF-8"},
		"no headings at all": {"SPECIMEN12345,1990-01-01\n", "no column"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := readAll(t, strings.NewReader(c.text), tasks.Passport, nil)
			var file *FileError
			if !errors.As(err, &file) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want a FileError with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "SPECIMEN12345") {
				t.Errorf("the error quotes a cell: %v", err)
			}
		})
	}
}

// endless is 2 GB of one byte, counted.
type endless struct {
	head string
	left int64
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.head != "" {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range n {
		p[i] = 'a'
	}
	e.left -= int64(n)
	e.read += int64(n)
	return n, nil
}

func TestALineOfTwoGigabytesFailsEarly(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{"headings": "", "row": "file_number,dob\n", "open quote": "file_number,dob\n\"", "BOM": "\xef\xbb\xbf"} {
		src := &endless{head: head, left: 2 << 30}
		_, _, err := readAll(t, src, tasks.Passport, nil)
		var file *FileError
		if !errors.As(err, &file) {
			t.Errorf("%s: %v", name, err)
		}
		if src.read > 256<<10 {
			t.Errorf("%s: %d bytes were read before the error", name, src.read)
		}
	}
}

func TestALongJSONLineIsARejectedRow(t *testing.T) {
	t.Parallel()
	src := io.MultiReader(strings.NewReader("{\"dob\":\""), &endless{left: 8 << 20}, strings.NewReader("\"}\n{\"dob\":\"x\"}\n"))
	got, rows, err := readAll(t, src, tasks.Passport, nil)
	if err != nil || !slices.Equal(got, []string{"1! row_too_long", "2: x"}) {
		t.Errorf("%q, %v", got, err)
	}
	if len(rows[0].Fields) != 0 {
		t.Error("a part of the long line was kept")
	}
}

func TestUnescapeReversesEscape(t *testing.T) {
	t.Parallel()
	for _, cell := range []string{"", "a", "=cmd|' /C calc'!A0", "+91 98", "-x", "@SUM(1)", "\tx", "\rx", "'x", "'", "''"} {
		escaped := EscapeFormula(cell)
		if escaped != "" && strings.ContainsRune(formulaStart, rune(escaped[0])) {
			t.Errorf("%q stays a formula: %q", cell, escaped)
		}
		if unescapeFormula(escaped) != cell {
			t.Errorf("%q was read as %q", cell, unescapeFormula(escaped))
		}
	}
}

// FuzzReader: whatever is in a file, reading ends, in rows within the bounds or in a FileError, and the same bytes give the
// same rows.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"file_number,dob\nA1,1990-01-01\n", "{\"file_number\":\"A1\"}\n", "\xef\xbb\xbfdob,file_number\r\n\"a\nb\",c\r\n",
		"file_number,dob\n\"a", "PK\x03\x04", "{\"a\":{\"b\":[1]}}\n{\"A\":null}", "dob,file_number\n\x00,\xff\n", "{", "[]", ",\n,\n",
		"file_number,dob\rA1,\"x\ry\"\r\r\n", "\xef\xbb\xbf\xef\xbb\xbfsep=;\nfile_number;dob\n\"a\"\"b\";c\n;\n", "dob,file_number,n\n1,2,\"3\n4,5,6\"\n",
		"{\"dob\":1e3}\n{\"dob\":\"a\",\"do\u200bb\":null}\r{\"bod\":true}\n", "\xff\xfed\x00o\x00b\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		once, rows, err := readAll(t, strings.NewReader(string(file)), tasks.Passport, nil)
		var fe *FileError
		if err != nil && !errors.As(err, &fe) {
			t.Fatalf("not a FileError: %v", err)
		}
		lines := 0
		for _, row := range rows {
			if !strings.Contains(string(file), row.Text) {
				t.Fatalf("line %d: the text is not in the file", row.Line)
			}
			if row.Line <= lines {
				t.Fatalf("line %d comes after line %d", row.Line, lines)
			}
			lines = row.Line
			size := 0
			for _, cell := range row.Fields {
				size += len(cell)
			}
			if size > 6*MaxRow || len(row.Fields) > MaxColumns {
				t.Fatalf("line %d: %d cells of %d bytes", row.Line, len(row.Fields), size)
			}
			if row.Problem == nil && checkText(row.Fields) != nil {
				t.Fatalf("line %d: a row with broken text passed", row.Line)
			}
		}
		if again, _, _ := readAll(t, strings.NewReader(string(file)), tasks.Passport, nil); !slices.Equal(once, again) {
			t.Fatal("the same bytes were read as other rows")
		}
	})
}
