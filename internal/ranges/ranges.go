// Package ranges writes lists of numbers for people.
package ranges

import (
	"fmt"
	"strings"
)

// most is how many numbers and ranges are written one by one.
const most = 12

// Text is the numbers, which are sorted, in words: "2", "2 and 3", "0, 2 and 5 to
// 9". Of a list in many pieces it says the first ones, and how many numbers more
// there are.
func Text[N ~uint16 | ~uint32 | ~int](numbers []N) string {
	var pieces []string
	for i := 0; i < len(numbers); {
		if len(pieces) == most {
			pieces = append(pieces, fmt.Sprintf("%d more", len(numbers)-i))
			break
		}
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if j-i < 2 {
			j = i // two neighbours are no range
			pieces = append(pieces, fmt.Sprint(numbers[i]))
		} else {
			pieces = append(pieces, fmt.Sprintf("%d to %d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	if len(pieces) < 2 {
		return strings.Join(pieces, "")
	}
	last := len(pieces) - 1
	return strings.Join(pieces[:last], ", ") + " and " + pieces[last]
}
