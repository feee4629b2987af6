package ui

import (
	"cmp"
	"fmt"

	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
)

// waitsFor begins what is said of a host that waits.
const waitsFor = "waits for "

// waitText is what is waited for, and why it is not there.
func (b *board) waitText(w *run.Wait) string {
	if why := b.because(w); why != "" {
		return w.For + ": " + why
	}
	return w.For
}

// because is why something that is waited for is not there: what is in hand that it takes, however many others wait for each other in between.
func (b *board) because(w *run.Wait) string {
	known := w.For
	for i := range len(b.hosts) { // no longer than there are hosts
		if w.Why != "" && i > 0 {
			return fmt.Sprintf("%s waits for %s: %s", w.Step, w.For, w.Why)
		}
		if w.Why != "" {
			return w.Why
		}
		if len(w.Of) == 0 {
			return ""
		}
		if text, ok := b.inHandOf(w.Of, known); ok {
			return text
		}
		h := b.hosts[w.Of[0].Host]
		switch {
		case h == nil:
			return ""
		case h.silent != "":
			return fmt.Sprintf("%s does not answer: %s", h.name, h.silent)
		case len(h.inHand) > 0:
			return stepText(plan.StepID{Host: h.name, Name: h.inHand[0].name}, h.inHand[0], known)
		case h.wait == nil:
			return ""
		}
		w = h.wait
	}
	return ""
}

// inHandOf is the first of some steps that is in hand.
func (b *board) inHandOf(of []plan.StepID, known string) (string, bool) {
	for _, id := range of {
		if h := b.hosts[id.Host]; h != nil && h.silent == "" {
			if s := h.step(id.Name); s != nil {
				return stepText(id, *s, known), true
			}
		}
	}
	return "", false
}

// stepText is how far a step is that others wait for; its name is not said if that is known.
func stepText(id plan.StepID, s handStep, known string) string {
	text := cmp.Or(s.text(), "in hand")
	if id.String() == known {
		return text
	}
	return id.String() + ": " + text
}
