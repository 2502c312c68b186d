package specimen

import (
	"image"
	"image/color"
	"math/rand/v2"
)

// A Card describes a card to draw.
type Card struct {
	Layout Layout
	Person Person
	// Version is the version of the QR code, 1 to 40; 0 means 12 to 25, depending on the number.
	Version int
	// Tough uses error correction level M instead of L, which real cards have.
	Tough bool
	// Scale is pixels per unit; 0 means 1: 300 dpi for PVC, about 220 dpi for Short, 150 dpi for Long.
	Scale float64
	// Uncoded omits the QR codes, as on older cards.
	Uncoded bool
}

var (
	ink     = color.RGBA{28, 30, 38, 255}
	faint   = color.RGBA{96, 100, 112, 255}
	saffron = color.RGBA{196, 98, 22, 255}
	teal    = color.RGBA{14, 100, 96, 255}
	violet  = color.RGBA{78, 54, 128, 255}
	paper   = color.RGBA{252, 251, 246, 255}
	stamp   = color.RGBA{96, 14, 14, 104} // premultiplied, translucent
	white   = color.RGBA{255, 255, 255, 255}
)

// Draw draws the card. It panics on a layout or a version that does not exist.
func Draw(card Card) *image.RGBA {
	p, ok := plans[card.Layout]
	if !ok {
		panic("specimen: unknown layout " + string(card.Layout))
	}
	if card.Scale == 0 {
		card.Scale = 1
	}
	if card.Version == 0 {
		card.Version = 12 + int(card.Person.Number[10]-'0') + int(card.Person.Number[9]-'0')%5
	}
	c := newCanvas(p.w, p.h, card.Scale, paper)
	switch card.Layout {
	case PVC:
		c.drawPVC(p, card.Person)
	case Short:
		c.drawShort(p, card.Person)
	case Long:
		c.drawLong(p, card.Person)
	}
	for _, b := range p.numbers {
		c.number(b, card.Person.Grouped())
	}
	if !card.Uncoded {
		matrix := modules(card.Person, card.Version, card.Tough)
		for _, b := range p.codes {
			c.code(b, matrix)
		}
	}
	return c.img
}

func (c canvas) drawPVC(p plan, who Person) {
	c.fill(p.bands[0], saffron)
	c.fill(p.bands[1], teal)
	c.text(bold, 40, 36, 62, white, "SPECIMEN IDENTITY")
	c.text(regular, 24, 600, 60, white, "not issued by any authority")
	c.watermark(box{0, 96, 650, 420}, 128, 24)
	c.portrait(box{40, 150, 190, 240}, who)
	c.person(250, 190, 30, who)
	c.text(regular, 22, 40, 440, faint, "Drawn by a program for tests.")
	c.text(regular, 22, 40, 470, faint, "This person does not exist.")
}

func (c canvas) drawShort(p plan, who Person) {
	c.fill(p.bands[0], saffron)
	c.fill(p.bands[1], teal)
	c.fill(p.bands[2], teal)
	c.fill(p.bands[3], saffron)
	c.fill(box{780, 0, 40, 520}, white)
	for y := 4.0; y < 520; y += 24 {
		c.fill(box{799, y, 2, 12}, faint)
	}
	c.text(bold, 34, 28, 50, white, "SPECIMEN IDENTITY")
	c.text(bold, 34, 848, 50, white, "SPECIMEN ADDRESS")
	c.watermark(box{10, 76, 760, 340}, 128, 18)
	c.watermark(box{820, 170, 350, 240}, 66, 28)
	c.portrait(box{36, 112, 160, 204}, who)
	c.person(230, 148, 28, who)
	c.text(regular, 20, 36, 352, faint, "Drawn by a program for tests. This person does not exist.")
	c.address(848, 140, 24, who)
}

func (c canvas) drawLong(p plan, who Person) {
	c.fill(p.bands[0], violet)
	c.fill(p.bands[1], saffron)
	c.fill(p.bands[2], saffron)
	c.fill(p.bands[3], saffron)
	c.fill(p.bands[4], teal)
	c.fill(p.bands[5], teal)
	c.fill(p.bands[6], saffron)
	c.text(bold, 48, 96, 132, white, "SPECIMEN LETTER")
	c.text(regular, 26, 690, 128, white, "not issued by any authority")
	c.watermark(box{60, 190, 1100, 720}, 206, 30)
	c.text(regular, 26, 96, 250, faint, "Enrolment No.: 0000/00000/00000 (SPECIMEN)")
	c.text(regular, 30, 96, 340, ink, "To")
	c.text(bold, 34, 96, 392, ink, who.Name)
	c.address(96, 440, 28, who)
	c.text(regular, 24, 96, 700, faint, "Drawn by a program for tests.")
	c.text(regular, 24, 96, 734, faint, "This person does not exist, and the")
	c.text(regular, 24, 96, 768, faint, "number begins with a digit that no")
	c.text(regular, 24, 96, 802, faint, "real number begins with.")
	c.text(bold, 28, 480, 992, ink, "Your specimen number:")
	for x := 60.0; x < 1180; x += 28 {
		c.fill(box{x, 1240, 14, 3}, faint)
	}
	c.text(bold, 26, 84, 1326, white, "SPECIMEN IDENTITY")
	c.text(bold, 26, 656, 1326, white, "SPECIMEN ADDRESS")
	c.watermark(box{60, 1340, 548, 280}, 92, 20)
	c.portrait(box{84, 1364, 124, 160}, who)
	c.person(232, 1392, 21, who)
	c.address(656, 1386, 17, who)
}

// person writes the personal fields, one per line.
func (c canvas) person(x, y, size float64, who Person) {
	c.text(bold, size*1.1, x, y, ink, who.Name)
	c.text(regular, size, x, y+1.7*size, ink, "DOB: "+who.Born)
	c.text(regular, size, x, y+3.1*size, ink, who.Gender)
	c.text(regular, size*0.8, x, y+4.6*size, faint, "(invented person)")
}

func (c canvas) address(x, y, size float64, who Person) {
	c.text(bold, size, x, y, ink, "Address:")
	for i, line := range who.Address {
		c.text(regular, size, x, y+float64(i+1)*1.5*size, ink, line)
	}
}

// number fits the grouped digits into their box: Go Mono's letters are 0.6 em wide.
func (c canvas) number(b box, grouped string) {
	size := b.w / float64(len(grouped)) / 0.6
	c.text(mono, size, b.x, b.y+b.h/2+0.36*size, ink, grouped)
}

// portrait draws a face without features, in colours that depend on the person.
func (c canvas) portrait(b box, who Person) {
	seed := uint64(0)
	for _, d := range who.Number {
		seed = seed*10 + uint64(d-'0')
	}
	rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible on purpose
	shade := func(lo, spread int) uint8 { return uint8(lo + rng.IntN(spread)) }
	c.fill(b.grown(3), faint)
	c.fill(b, color.RGBA{shade(176, 50), shade(190, 40), shade(200, 40), 255})
	skin := color.RGBA{shade(150, 60), shade(100, 50), shade(70, 40), 255}
	hair := color.RGBA{shade(20, 40), shade(16, 30), shade(14, 24), 255}
	shirt := color.RGBA{shade(40, 150), shade(40, 120), shade(60, 150), 255}
	c.ellipse(box{b.x + 0.05*b.w, b.y + 0.70*b.h, 0.90 * b.w, 0.70 * b.h}, b, shirt)
	c.ellipse(box{b.x + 0.22*b.w, b.y + 0.10*b.h, 0.56 * b.w, 0.58 * b.h}, b, hair)
	c.ellipse(box{b.x + 0.40*b.w, b.y + 0.56*b.h, 0.20 * b.w, 0.22 * b.h}, b, skin)
	c.ellipse(box{b.x + 0.28*b.w, b.y + 0.22*b.h, 0.44 * b.w, 0.48 * b.h}, b, skin)
}
