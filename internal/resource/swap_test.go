package resource_test

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// TestSwapKeepsItsPriorities is about areas that people gave priorities, and about the order of the others.
func TestSwapKeepsItsPriorities(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	was := []resource.SwapArea{
		{Path: "/zram", Size: 1 << 30, Priority: 100}, {Path: "/b", Size: 1 << 30, Priority: 0}, {Path: "/second", Size: 1 << 30, Priority: -2}, {Path: "/first", Size: 1 << 30, Priority: -3},
	}
	m.SetSwaps(was...)
	before, err := resource.Swap{}.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	settled(t, resource.Swap{}, env)
	if err := (resource.Swap{}).Undo(t.Context(), env, before); err != nil {
		t.Fatal(err)
	}
	if now, err := env.Kernel.Swaps(); err != nil || !slices.Equal(now, was) {
		t.Errorf("the areas are %v, %v", now, err)
	}
}
