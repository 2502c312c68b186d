package qr

import (
	"math"

	"github.com/makiuchi-d/gozxing/common"
)

// A frame maps a code's modules to the image: module (0, 0) begins at the code's top left corner.
type frame struct {
	transform *common.PerspectiveTransform
	modules   int
}

// flatFrame assumes that the code is a parallelogram with the three patterns in its corners.
func flatFrame(t triple, modules int) frame {
	fourth := Point{t.tr.at.X + t.bl.at.X - t.tl.at.X, t.tr.at.Y + t.bl.at.Y - t.tl.at.Y}
	return quad(t, modules, fourth, float64(modules)-3.5)
}

// quad maps the point (at, at) of the module grid to a given place in the image.
func quad(t triple, modules int, fourth Point, at float64) frame {
	far := float64(modules) - 3.5
	return frame{modules: modules, transform: common.PerspectiveTransform_QuadrilateralToQuadrilateral(
		3.5, 3.5, far, 3.5, at, at, 3.5, far,
		t.tl.at.X, t.tl.at.Y, t.tr.at.X, t.tr.at.Y, fourth.X, fourth.Y, t.bl.at.X, t.bl.at.Y)}
}

func (fr frame) point(x, y float64) Point {
	p := [2]float64{x, y}
	fr.transform.TransformPoints(p[:])
	return Point{p[0], p[1]}
}

func (fr frame) corners() [4]Point {
	n := float64(fr.modules)
	return [4]Point{fr.point(0, 0), fr.point(n, 0), fr.point(n, n), fr.point(0, n)}
}

// grey is the interpolated brightness, 0 to 255. Outside of the image it is white.
func (f *field) grey(p Point) float64 {
	x, y := p.X-0.5, p.Y-0.5
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	if x0 < -1 || y0 < -1 || x0 >= f.w || y0 >= f.h {
		return 255
	}
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := min(x0+1, f.w-1), min(y0+1, f.h-1)
	x0, y0 = max(x0, 0), max(y0, 0)
	top, bottom := f.gray.Pix[y0*f.gray.Stride:], f.gray.Pix[y1*f.gray.Stride:]
	return (float64(top[x0])*(1-fx)+float64(top[x1])*fx)*(1-fy) + (float64(bottom[x0])*(1-fx)+float64(bottom[x1])*fx)*fy
}

// levelAt is how much lighter than the threshold the image is between four pixels, in sixteenths of a grey level.
func (f *field) levelAt(p Point) float64 {
	x, y := int(max(0, min(p.X, float64(f.w-1)))), int(max(0, min(p.Y, float64(f.h-1))))
	return f.grey(p)*16 - float64(f.threshold(x, y))
}

// aligned corrects the perspective by the bottom right alignment pattern. It returns false if there is none (version 1) or
// it is not found.
func (f *field) aligned(t triple, flat frame) (frame, bool) {
	if flat.modules < 25 {
		return frame{}, false
	}
	at := float64(flat.modules) - 6.5
	best, bestX, bestY := 0.0, 0.0, 0.0
	try := func(dx, dy float64) {
		// A small penalty on distance decides between equals.
		if score := f.alignment(t, flat, at+dx, at+dy) - 0.02*math.Hypot(dx, dy); score > best {
			best, bestX, bestY = score, dx, dy
		}
	}
	for dy := -4.0; dy <= 4; dy += 0.5 {
		for dx := -4.0; dx <= 4; dx += 0.5 {
			try(dx, dy)
		}
	}
	coarseX, coarseY := bestX, bestY
	for dy := -0.375; dy <= 0.375; dy += 0.125 {
		for dx := -0.375; dx <= 0.375; dx += 0.125 {
			try(coarseX+dx, coarseY+dy)
		}
	}
	if best < 0.5 {
		return frame{}, false
	}
	return quad(t, flat.modules, flat.point(at+bestX, at+bestY), at), true
}

// alignment compares the 5×5 modules around a place with an alignment pattern: 1 is perfect.
func (f *field) alignment(t triple, fr frame, x, y float64) float64 {
	var points [50]float64
	for i := range 25 {
		points[2*i], points[2*i+1] = x+float64(i%5-2), y+float64(i/5-2)
	}
	fr.transform.TransformPoints(points[:])
	match, total := 0.0, 0.0
	for i := range 25 {
		level := f.levelAt(Point{points[2*i], points[2*i+1]})
		total += math.Abs(level)
		ring := max(abs(i%5-2), abs(i/5-2))
		if (ring == 1) != t.tl.bright {
			match += level
		} else {
			match -= level
		}
	}
	if total == 0 {
		return 0
	}
	return match / total
}

func abs(i int) int { return max(i, -i) }

// sample reads the level of every module, row by row; dark modules are negative, whatever the code's colours.
func (f *field) sample(t triple, fr frame) []float32 {
	n := fr.modules
	spread := []Point{{0.5, 0.5}}
	if t.module >= 2.5 { // wide enough to average noise away without touching the neighbours
		spread = []Point{{0.5, 0.5}, {0.3, 0.3}, {0.7, 0.3}, {0.3, 0.7}, {0.7, 0.7}}
	}
	sign := float32(1)
	if t.tl.bright {
		sign = -1
	}
	levels := make([]float32, n*n)
	points := make([]float64, 2*n)
	for y := range n {
		for _, s := range spread {
			for x := range n {
				points[2*x], points[2*x+1] = float64(x)+s.X, float64(y)+s.Y
			}
			fr.transform.TransformPoints(points)
			for x := range n {
				levels[y*n+x] += sign * float32(f.levelAt(Point{points[2*x], points[2*x+1]}))
			}
		}
	}
	return levels
}

// sharpen partly reverses a blur about one module wide.
func sharpen(levels []float32, n int, amount float32) []float32 {
	out := make([]float32, len(levels))
	at := func(x, y int) float32 {
		return levels[max(0, min(y, n-1))*n+max(0, min(x, n-1))]
	}
	for y := range n {
		for x := range n {
			around := (at(x-1, y) + at(x+1, y) + at(x, y-1) + at(x, y+1)) / 4
			out[y*n+x] = levels[y*n+x] + amount*(levels[y*n+x]-around)
		}
	}
	return out
}

// balance subtracts the mean of the surrounding 9×9 modules. The data mask of QR codes balances dark and light modules, so
// the mean is a good threshold.
func balance(levels []float32, n int) []float32 {
	const reach = 4
	sums := make([]float64, (n+1)*(n+1))
	for y := range n {
		row := 0.0
		for x := range n {
			row += float64(levels[y*n+x])
			sums[(y+1)*(n+1)+x+1] = sums[y*(n+1)+x+1] + row
		}
	}
	out := make([]float32, len(levels))
	for y := range n {
		y0, y1 := max(0, y-reach), min(n, y+reach+1)
		for x := range n {
			x0, x1 := max(0, x-reach), min(n, x+reach+1)
			sum := sums[y1*(n+1)+x1] - sums[y0*(n+1)+x1] - sums[y1*(n+1)+x0] + sums[y0*(n+1)+x0]
			out[y*n+x] = levels[y*n+x] - float32(sum/float64((y1-y0)*(x1-x0)))
		}
	}
	return out
}
