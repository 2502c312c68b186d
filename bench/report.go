package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// result is all rounds of one case.
type result struct {
	work     work
	names    []string    // of the systems
	figures  [][]figures // of each system, a round each
	check    float64     // CPU of kycq's check of one image, s
	requests map[string]float64
}

// metric is one line of the table.
type metric struct {
	name string
	of   func(f figures, jobs float64) float64
}

var metrics = []metric{
	{"jobs/s", func(f figures, jobs float64) float64 { return jobs / f.seconds }},
	{"worker CPU, ms a job", func(f figures, jobs float64) float64 { return 1000 * f.cpu / jobs }},
	{"peak memory, MiB", func(f figures, _ float64) float64 { return f.peak }},
	{"Redis commands a job", func(f figures, jobs float64) float64 { return f.commands / jobs }},
	{"MinIO CPU, ms a job", func(f figures, jobs float64) float64 { return 1000 * f.minioCPU / jobs }},
}

// median, least and most of a system's rounds.
func (r result) spread(system int, m metric) (median, least, most float64) {
	values := make([]float64, len(r.figures[system]))
	for i, f := range r.figures[system] {
		values[i] = m.of(f, float64(r.work.jobs))
	}
	slices.Sort(values)
	return values[len(values)/2], values[0], values[len(values)-1]
}

// ratio is kycq's median divided by that of the plain worker, the second system.
func (r result) ratio(m metric) float64 {
	own, _, _ := r.spread(0, m)
	plain, _, _ := r.spread(1, m)
	return own / plain
}

func (r result) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d jobs a round, %d rounds; median (least to most)\n", r.work, r.work.jobs, len(r.figures[0]))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\t")
	for _, name := range r.names {
		fmt.Fprintf(table, "%s\t", name)
	}
	fmt.Fprintln(table, "kycq / plain")
	for _, m := range metrics {
		fmt.Fprintf(table, "%s\t", m.name)
		for i := range r.names {
			median, least, most := r.spread(i, m)
			fmt.Fprintf(table, "%.2f (%.2f to %.2f)\t", median, least, most)
		}
		fmt.Fprintf(table, "%.2f\n", r.ratio(m))
	}
	if r.check > 0 {
		own, _, _ := r.spread(0, metrics[1])
		plain, _, _ := r.spread(1, metrics[1])
		rest := own - 1000*r.check
		fmt.Fprintf(table, "worker CPU without the mask check (%.1f ms)\t%.2f\t%.2f\t", 1000*r.check, rest, plain)
		for range len(r.names) - 2 {
			fmt.Fprint(table, "\t")
		}
		fmt.Fprintf(table, "%.2f\n", rest/plain)
	}
	_ = table.Flush()
	fmt.Fprintln(w, "S3 requests of kycq for a job:")
	for _, name := range slices.SortedFunc(maps.Keys(r.requests), func(a, b string) int {
		if r.requests[a] != r.requests[b] {
			return map[bool]int{true: -1, false: 1}[r.requests[a] > r.requests[b]]
		}
		return map[bool]int{true: -1, false: 1}[a < b]
	}) {
		fmt.Fprintf(w, "  %.3f  %s\n", r.requests[name], name)
	}
	fmt.Fprintln(w)
}

// chart draws kycq's ratios to the plain worker, and those of batches to the first one, as bars. A bar that ends at the line
// costs as much.
func chart(results []result, batches []fed) []byte {
	const left, scale, bar, gap = 290, 120.0, 14, 26
	var b bytes.Buffer
	y := 34
	title := func(text string) {
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y+12, text)
		y += gap - 8
	}
	draw := func(name string, ratio float64, colour string) {
		width := min(ratio*scale, 560)
		fmt.Fprintf(&b, `<text x="30" y="%d">%s</text><rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/><text x="%.0f" y="%d">%.2f</text>`+"\n",
			y+11, name, left, y, width, bar, colour, left+width+6, y+11, ratio)
		y += bar + 2
	}
	for _, r := range results {
		title(r.work.String())
		draw(metrics[1].name, r.ratio(metrics[1]), "#3465a4")
		draw(metrics[2].name, r.ratio(metrics[2]), "#73a946")
		draw(metrics[4].name, r.ratio(metrics[4]), "#b58900")
		y += 8
	}
	if len(batches) > 0 {
		title(fmt.Sprintf("time a row, divided by that in a batch of %d rows", batches[0].rows))
	}
	for _, f := range batches {
		draw(fmt.Sprintf("batch of %d rows", f.rows), f.row/batches[0].row, "#75507b")
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="900" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="10" y="18" font-size="14">kycq divided by the plain worker (shorter is better; the line is 1)</text>
`, y+10)
	fmt.Fprintf(&b, `<line x1="%.0f" y1="28" x2="%.0f" y2="%d" stroke="#a00" stroke-dasharray="4"/>`+"\n</svg>\n", left+scale, left+scale, y)
	return append([]byte(head), b.Bytes()...)
}
