package qr

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/makiuchi-d/gozxing/qrcode/decoder"
)

const (
	versionReach   = 4   // versions tried on each side of the estimate
	versionTries   = 4   // of them are sampled whole
	timingMinimum  = 0.3 // of a perfect timing pattern
	versionBitsOff = 3   // wrong bits that the version information's BCH code corrects
)

// A guess is a version that a triple may have.
type guess struct {
	frame   frame
	version int
	stated  bool // the code's own version information says so
	timing  float64
}

// guesses ranks the versions near the estimate by the timing pattern, which alternates once per module, and from version 7 on
// by the version information. From version 20 on, an error of 4 % in the size of the patterns yields a wrong estimate.
func (f *field) guesses(t triple) []guess {
	middle := int(math.Round((t.modules() - 17) / 4))
	var out []guess
	for v := max(1, middle-versionReach); v <= min(40, middle+versionReach); v++ {
		g := guess{frame: flatFrame(t, 17+4*v), version: v}
		g.timing = f.timing(t, g.frame)
		g.stated = v >= 7 && f.statesVersion(t, g.frame, v)
		if g.stated || g.timing >= timingMinimum {
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b guess) int { return cmp.Compare(b.rank(), a.rank()) })
	return out[:min(len(out), versionTries)]
}

func (g guess) rank() float64 {
	if g.stated {
		return g.timing + 1
	}
	return g.timing
}

// timing measures how well the better of the two timing patterns alternates: 1 is perfect, 0 is chance.
func (f *field) timing(t triple, fr frame) float64 {
	best := 0.0
	for _, across := range []bool{true, false} {
		match, total := 0.0, 0.0
		for i := 8; i < fr.modules-8; i++ {
			x, y := float64(i)+0.5, 6.5
			if !across {
				x, y = y, x
			}
			level := f.levelAt(fr.point(x, y))
			total += math.Abs(level)
			if (i%2 == 0) == t.tl.bright {
				match += level
			} else {
				match -= level
			}
		}
		if total > 0 {
			best = max(best, match/total)
		}
	}
	return best
}

// statesVersion reads the two 3×6 blocks of version information and compares them with what version v's would be.
func (f *field) statesVersion(t triple, fr frame, v int) bool {
	want := uint(decoder.VERSION_DECODE_INFO[v-7])
	var right, left uint
	for i := range 18 {
		x, y := float64(fr.modules-11+i%3)+0.5, float64(i/3)+0.5
		if (f.levelAt(fr.point(x, y)) <= 0) != t.tl.bright {
			right |= 1 << i
		}
		if (f.levelAt(fr.point(y, x)) <= 0) != t.tl.bright {
			left |= 1 << i
		}
	}
	return bits.OnesCount(right^want) <= versionBitsOff || bits.OnesCount(left^want) <= versionBitsOff
}
