package qr

import (
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/common/reedsolomon"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"

	"github.com/kycq/kycq/internal/redact"
)

// read tries to decode the code of a triple. Each attempt counts against s.left.
func (f *field) read(t triple, left *int) (Code, bool) {
	code := Code{Finders: 3, Corners: flatFrame(t, max(21, int(t.modules()+0.5))).corners()}
	for i, g := range f.guesses(t) {
		if i == 0 {
			code.Modules, code.Corners = g.frame.modules, g.frame.corners()
		}
		frames := []frame{g.frame}
		if fr, ok := f.aligned(t, g.frame); ok {
			frames = []frame{fr, g.frame}
		}
		for _, fr := range frames {
			if *left--; *left < 0 {
				return code, false
			}
			if text, ok := decodeLevels(f.sample(t, fr), g.version); ok {
				code.Readable, code.Text = true, text
				code.Modules, code.Corners = fr.modules, fr.corners()
				return code, true
			}
		}
	}
	return code, false
}

// decodeLevels tries three ways to tell dark from light modules, the simplest first.
func decodeLevels(levels []float32, version int) (text redact.Personal, ok bool) {
	n := 17 + 4*version
	for _, judge := range []func() []float32{
		func() []float32 { return levels },
		func() []float32 { return balance(levels, n) },
		func() []float32 { return balance(sharpen(levels, n, 1), n) },
	} {
		matrix, err := gozxing.NewSquareBitMatrix(n)
		if err != nil {
			return redact.Personal{}, false
		}
		for i, level := range judge() {
			if level <= 0 {
				matrix.Set(i%n, i/n)
			}
		}
		if text, ok := decode(matrix, version); ok {
			return text, true
		}
	}
	return redact.Personal{}, false
}

// decode corrects errors and reads the text. A code is readable if all its blocks can be corrected; its text is empty if the
// content is not text.
func decode(matrix *gozxing.BitMatrix, number int) (text redact.Personal, ok bool) {
	// gozxing is a port of Java code that relies on array bounds checks: a panic means that it cannot read the code.
	defer func() {
		if recover() != nil {
			text, ok = redact.Personal{}, false
		}
	}()
	version, err := decoder.Version_GetVersionForNumber(number)
	if err != nil {
		return redact.Personal{}, false
	}
	stateVersion(matrix, number)
	data, level, ok := correct(matrix, version)
	if !ok {
		mirror(matrix)
		if data, level, ok = correct(matrix, version); !ok {
			return redact.Personal{}, false
		}
	}
	result, err := decoder.DecodedBitStreamParser_Decode(data, version, level, nil)
	if err != nil {
		return redact.Personal{}, true
	}
	return redact.NewPersonal(result.GetText()), true
}

// correct removes the data mask, assembles the blocks and corrects each. It does not change the matrix.
func correct(matrix *gozxing.BitMatrix, version *decoder.Version) ([]byte, decoder.ErrorCorrectionLevel, bool) {
	parser, err := decoder.NewBitMatrixParser(matrix)
	if err != nil {
		return nil, 0, false
	}
	format, err := parser.ReadFormatInformation()
	if err != nil {
		return nil, 0, false
	}
	words, err := parser.ReadCodewords()
	parser.Remask()
	if err != nil {
		return nil, 0, false
	}
	level := format.GetErrorCorrectionLevel()
	blocks, err := decoder.DataBlock_GetDataBlocks(words, version, level)
	if err != nil {
		return nil, 0, false
	}
	solver := reedsolomon.NewReedSolomonDecoder(reedsolomon.GenericGF_QR_CODE_FIELD_256)
	var data []byte
	for _, block := range blocks {
		received := make([]int, len(block.GetCodewords()))
		for i, word := range block.GetCodewords() {
			received[i] = int(word)
		}
		if solver.Decode(received, len(received)-block.GetNumDataCodewords()) != nil {
			return nil, 0, false
		}
		for _, word := range received[:block.GetNumDataCodewords()] {
			data = append(data, byte(word))
		}
	}
	return data, level, true
}

// stateVersion overwrites the version information with that of the known dimension, so a code with damaged version
// information is still read.
func stateVersion(matrix *gozxing.BitMatrix, version int) {
	if version < 7 {
		return
	}
	info, n := decoder.VERSION_DECODE_INFO[version-7], matrix.GetWidth()
	for i := range 18 {
		x, y := n-11+i%3, i/3
		for _, at := range [2][2]int{{x, y}, {y, x}} {
			matrix.Unset(at[0], at[1])
			if info>>i&1 == 1 {
				matrix.Set(at[0], at[1])
			}
		}
	}
}

// mirror swaps rows and columns, for mirrored photos.
func mirror(matrix *gozxing.BitMatrix) {
	n := matrix.GetWidth()
	for y := range n {
		for x := range y {
			if matrix.Get(x, y) != matrix.Get(y, x) {
				matrix.Flip(x, y)
				matrix.Flip(y, x)
			}
		}
	}
}
