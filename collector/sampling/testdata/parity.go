//go:build ignore

// Writes parity.txt: what Go's standard library computes for the rules that the policies must agree with.
// Run it in this folder: go run parity.go > parity.txt
package main

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand"
	"time"
)

const defaultSalt = "default-hash-seed"

func thresholdOf(percentage float64) uint64 {
	all := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
	ratio := big.NewFloat(percentage / 100)
	value, _ := all.Mul(all, ratio).Uint64()
	return value
}

func hashOf(salt string, id []byte) uint64 {
	h := fnv.New64a()
	h.Write([]byte(salt))
	h.Write(id)
	return h.Sum64()
}

func instant(nanos uint64) time.Time {
	return time.Unix(0, int64(nanos)).UTC()
}

func main() {
	random := rand.New(rand.NewSource(20261121))
	fmt.Println("# Made by parity.go. Each line is one fact; every number is written in hexadecimal.")
	fmt.Println("# threshold <bits of the percentage as f64> <threshold>")
	percentages := []float64{
		0, math.Copysign(0, -1), -1, -1e300, 100, 100.00000000000001, 150, 1e300, 50, 25, 12.5, 10, 1, 0.1, 0.01, 5, 20, 33,
		33.3, 33.333333333333336, 66.66666666666667, 75, 90, 99, 99.9, 99.99, 99.99999999999999, 99.9999999999999,
		2, 3, 7, 15, 30, 40, 60, 70, 80, 1e-5, 1e-10, 1e-15, 1e-17, 5.421010862427522e-18, 5.5e-18, 1e-18, 1e-100,
		1e-300, 1e-308, 5e-324, 1e-322, math.Inf(1), math.Inf(-1), math.MaxFloat64, 0.5, 0.05, 0.25, 4.2, 12.345678,
	}
	for tenth := 1; tenth < 1000; tenth++ {
		percentages = append(percentages, float64(tenth)/10)
	}
	for range 1000 {
		percentages = append(percentages, random.Float64()*100, random.Float64()*math.Pow(10, -20*random.Float64()))
	}
	for _, percentage := range percentages {
		fmt.Printf("threshold %016x %016x\n", math.Float64bits(percentage), thresholdOf(percentage))
	}

	fmt.Println("# hash <salt, its bytes; - when empty> <trace id> <FNV-1a 64>")
	salts := []string{defaultSalt, "default-hash-seed2", "a", "production", "\u00e4\u4e2d"}
	ids := [][]byte{make([]byte, 16), []byte("0123456789abcdef")}
	full := make([]byte, 16)
	for i := range full {
		full[i] = 0xff
	}
	ids = append(ids, full)
	for range 200 {
		id := make([]byte, 16)
		random.Read(id)
		ids = append(ids, id)
	}
	for _, salt := range salts {
		for _, id := range ids {
			fmt.Printf("hash %s %s %016x\n", hex.EncodeToString([]byte(salt)), hex.EncodeToString(id), hashOf(salt, id))
		}
	}

	fmt.Println("# kept <bits of the percentage> <trace id> <1 or 0, with the default salt>")
	for _, percentage := range []float64{0, 0.1, 1, 5, 10, 25, 33.3, 50, 75, 99, 100} {
		for _, id := range ids[:64] {
			kept := 0
			if hashOf(defaultSalt, id) <= thresholdOf(percentage) {
				kept = 1
			}
			fmt.Printf("kept %016x %s %d\n", math.Float64bits(percentage), hex.EncodeToString(id), kept)
		}
	}

	fmt.Println("# duration <first start> <last end> <whole milliseconds, two's complement>")
	const now = uint64(1_763_700_000_000_000_000)
	edges := []uint64{
		0, 1, 999_999, 1_000_000, 1_000_001, now, now + 999_999, now + 1_000_000, now + 499_999_999, now + 500_000_000,
		now + 500_999_999, now + 501_000_000, math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxInt64 + 2,
		math.MaxUint64 - now, math.MaxUint64 - 1, math.MaxUint64,
	}
	for _, start := range edges {
		for _, end := range edges {
			fmt.Printf("duration %016x %016x %016x\n", start, end, uint64(instant(end).Sub(instant(start)).Milliseconds()))
		}
	}
}
