package manifest

import "strings"

// Spreadsheets run a cell that begins like this as a formula, wherever it came from. CSV that kycq writes puts an
// apostrophe before it; CSV that kycq reads takes it away again, so that a mended failures file holds what it held.
const formulaStart = "=+-@\t\r"

// EscapeFormula makes a cell harmless in a spreadsheet.
func EscapeFormula(cell string) string {
	if cell != "" && strings.IndexByte(formulaStart, cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

// unescapeFormula is the reverse of EscapeFormula.
func unescapeFormula(cell string) string {
	if len(cell) > 1 && cell[0] == '\'' && strings.IndexByte(formulaStart, cell[1]) >= 0 {
		return cell[1:]
	}
	return cell
}
