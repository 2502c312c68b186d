package main

import (
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/dev/specimen"
)

// passportsCSV lists 40 invented passports. The last four digits of a file number determine the answer of the simulator,
// see examples/README.md.
func passportsCSV() []byte {
	var b strings.Builder
	b.WriteString("verification_id,file_number,dob,name\n")
	row := 0
	add := func(ending, number, born, id string) {
		row++
		who := specimen.NewPerson(uint64(1000 + row))
		if id == "" {
			id = fmt.Sprintf("passport-%02d", row)
		}
		if born == "" {
			day, month, year := who.Born[:2], who.Born[3:5], who.Born[6:]
			born = year + "-" + month + "-" + day
		}
		if number == "" {
			number = fmt.Sprintf("ZZ%09d%s", row*7_919_003, ending)
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s SPECIMEN\n", id, number, born, who.Name)
	}
	for i := range 34 {
		ending := fmt.Sprintf("%04d", 4215+i*37)
		switch i {
		case 5, 13, 21, 29:
			ending = "0000"
		case 8, 24:
			ending = "0001"
		case 11, 27:
			ending = "0002"
		}
		add(ending, "", "", "")
	}
	add("4101", "", "2007-02-30", "")
	add("4102", "", "31/12/1990", "")
	add("4103", "", "2999-01-01", "")
	add("", "ZZ-0099/1234", "", "")
	add("", "ZZ0000000000000000004104", "", "")
	add("4105", "", "", "passport #40!")
	return []byte(b.String())
}
