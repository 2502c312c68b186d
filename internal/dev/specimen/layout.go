package specimen

import "image"

// A Layout is a form of the card.
type Layout string

// The layouts follow the issued forms of Aadhaar.
const (
	Short Layout = "short" // the cut-out strip: front and back side by side
	Long  Layout = "long"  // the letter: address, number and code above, the strip below
	PVC   Layout = "pvc"   // the plastic card's front
)

// Layouts lists every layout.
func Layouts() []Layout { return []Layout{Short, Long, PVC} }

// A box is a rectangle in card units: pixels at scale 1.
type box struct{ x, y, w, h float64 }

// grown adds a margin on all sides.
func (b box) grown(m float64) box { return box{b.x - m, b.y - m, b.w + 2*m, b.h + 2*m} }

// A plan describes the areas of a card that a mask must cover, and the areas that identify its layout.
type plan struct {
	w, h    float64
	codes   []box // the QR codes, without their quiet zones
	numbers []box // the twelve digits in three groups, as wide as 14 letters
	bands   []box // dark areas, by which the layout is recognized
}

// plans are drawn by draw.go and recognised by mask.go.
var plans = map[Layout]plan{
	PVC: {
		w: 1012, h: 638,
		codes:   []box{{672, 170, 300, 300}},
		numbers: []box{{250, 520, 420, 50}},
		bands:   []box{{0, 0, 1012, 96}, {0, 604, 1012, 34}},
	},
	Short: {
		w: 1600, h: 520,
		codes:   []box{{1200, 110, 336, 336}},
		numbers: []box{{230, 422, 390, 46}, {830, 422, 330, 40}},
		bands:   []box{{0, 0, 780, 76}, {820, 0, 780, 76}, {0, 494, 780, 26}, {820, 494, 780, 26}},
	},
	Long: {
		w: 1240, h: 1754,
		codes:   []box{{800, 500, 340, 340}, {912, 1372, 256, 256}},
		numbers: []box{{340, 1010, 560, 66}, {180, 1634, 330, 40}, {660, 1634, 220, 27}},
		bands: []box{
			{60, 60, 1120, 110},
			{60, 940, 1120, 14},
			{60, 1130, 1120, 14},
			{60, 1290, 548, 50},
			{632, 1290, 548, 50},
			{60, 1690, 548, 18},
			{632, 1690, 548, 18},
		},
	},
}

// firstEight is the part of a number's box with its first eight digits and the space between them: 9 of 14 letters.
func firstEight(number box) box { return box{number.x, number.y, number.w * 9 / 14, number.h} }

// CodeAreas returns the areas of the QR codes of a layout at a scale, in pixels.
func CodeAreas(layout Layout, scale float64) []image.Rectangle {
	return areas(plans[layout].codes, scale)
}

// DigitAreas returns the areas of the first eight digits of each number at a scale, in pixels.
func DigitAreas(layout Layout, scale float64) []image.Rectangle {
	var eights []box
	for _, b := range plans[layout].numbers {
		eights = append(eights, firstEight(b))
	}
	return areas(eights, scale)
}

func areas(boxes []box, scale float64) []image.Rectangle {
	var out []image.Rectangle
	for _, b := range boxes {
		out = append(out, canvas{scale: scale}.pixels(b))
	}
	return out
}
