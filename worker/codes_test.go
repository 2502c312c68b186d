package worker

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/advice"
)

// codeAt gives the index of the argument that is a code.
var codeAt = map[string]int{
	"later": 1, "infraFault": 1, "park": 3, "fail": 1, "failed": 1, "end": 2, "wait": 2,
}

func TestEveryCodeInTheSourceIsKnown(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	check := func(name string, e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		code, err := strconv.Unquote(lit.Value)
		if err != nil || code == "" {
			return
		}
		if name == "infraFault" {
			code += "_unreachable"
		}
		if found++; !advice.Known(code) {
			t.Errorf("%s: %q is not in the table of internal/advice", name, code)
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name := calledName(n.Fun)
				if at, ok := codeAt[name]; ok && at < len(n.Args) {
					check(name, n.Args[at])
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && (key.Name == "code" || key.Name == "Reason") {
					check(key.Name, n.Value)
				}
			}
			return true
		})
	}
	if found < 30 {
		t.Errorf("only %d codes were found in the source: the test looks in the wrong place", found)
	}
}

func calledName(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}
