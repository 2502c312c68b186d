package specimen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Person is invented, see the package comment.
type Person struct {
	Name    string
	Gender  string
	Born    string // DD/MM/YYYY
	Number  string // 12 digits
	Address []string
}

var (
	women = []string{"Asha", "Meera", "Lata", "Kavita", "Nandini", "Usha", "Farida", "Grace", "Harpreet", "Ila"}
	men   = []string{"Ravi", "Arjun", "Mohan", "Imran", "Joseph", "Kiran", "Gurdeep", "Suresh", "Tenzin", "Vikram"}
	// Each of these means sample, example or imaginary in Hindi, Kannada, Tamil, Sanskrit or Urdu.
	surnames = []string{"Namoona", "Udaharan", "Maadari", "Maathiri", "Kalpit", "Nidarshan", "Farzi"}
	lanes    = []string{"Imaginary Lane", "Invented Street", "Example Cross Road", "Nowhere Marg", "Pattern Gali"}
	towns    = []string{"Namoonapur", "Udaharanagar", "Kalpit Nagar", "Farzigaon", "Nowhere Town"}
)

// NewPerson invents a person. It is deterministic for a seed.
func NewPerson(seed uint64) Person {
	rng := rand.New(rand.NewPCG(seed, 0x5bec1e4)) //nolint:gosec // reproducible on purpose; not secret
	p := Person{Gender: "Female", Name: pick(rng, women)}
	if rng.IntN(2) == 0 {
		p.Gender, p.Name = "Male", pick(rng, men)
	}
	p.Name += " " + pick(rng, surnames)
	p.Born = fmt.Sprintf("%02d/%02d/%04d", 1+rng.IntN(28), 1+rng.IntN(12), 1950+rng.IntN(55))
	number := fmt.Sprintf("%d%010d", rng.IntN(2), rng.Int64N(1e10))
	p.Number = withCheckDigit(number)
	p.Address = []string{
		fmt.Sprintf("%d, %s", 1+rng.IntN(199), pick(rng, lanes)),
		pick(rng, towns),
		"State of Specimen - 000000", // no postal code begins with 0
	}
	return p
}

// Grouped is the number as cards print it, in fours.
func (p Person) Grouped() string {
	return strings.Join([]string{p.Number[:4], p.Number[4:8], p.Number[8:]}, " ")
}

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }
