package ranges

import "testing"

func TestText(t *testing.T) {
	var odd []int
	for i := range 20 {
		odd = append(odd, 2*i)
	}
	for _, c := range []struct {
		numbers []int
		want    string
	}{
		{nil, ""},
		{[]int{7}, "7"},
		{[]int{2, 3}, "2 and 3"},
		{[]int{0, 2, 5, 6, 7, 9}, "0, 2, 5 to 7 and 9"},
		{[]int{0, 1, 4, 5}, "0, 1, 4 and 5"},
		{[]int{3, 4, 5, 6}, "3 to 6"},
		{odd, "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and 8 more"},
	} {
		if got := Text(c.numbers); got != c.want {
			t.Errorf("%v: %q, want %q", c.numbers, got, c.want)
		}
	}
}
