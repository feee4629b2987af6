package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestSize(t *testing.T) {
	out, err := said("size", "--nodes", "200", "--worker", "cpu=32,memory=64Gi,disk=100Gi", "--kube-reserved", "cpu=1,memory=2Gi,disk=1Gi",
		"--system-reserved", "cpu=1,memory=1Gi,disk=1Gi", "--eviction", "memory=500Mi,disk=10%")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 nodes, with at most 110 Pods each", "3, each with 8 processors and 32 GB", "4500 writes a second", "30 processors, 61964Mi of memory, 88Gi of disk"} {
		if !strings.Contains(out, want) {
			t.Errorf("it says\n%s\nwithout %q", out, want)
		}
	}
	// What it proposes for the cluster file can be there.
	_, proposed, _ := strings.Cut(out, "nodes:\n\n")
	file := "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: c\nhosts: [{name: \"w[001-200]\", address: \"10.0.0.[1-200]\", roles: [worker]}, {name: cp, address: 10.0.1.1, roles: [control-plane]}]\n" +
		strings.ReplaceAll(proposed, "  ", "")
	if _, err := v1alpha1.Parse("cluster.yaml", []byte(file)); err != nil {
		t.Errorf("%v\n%s", err, file)
	}
	out, err = said("size", "--nodes", "5000", "--pods", "30", "-o", "json")
	var s struct {
		EtcdHosts, NodeMask int
		PodRange            string
	}
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.EtcdHosts != 5 || s.NodeMask != 26 || s.PodRange != "10.240.0.0/12" {
		t.Errorf("as JSON: %s, %v", out, err)
	}
	for _, args := range [][]string{
		{"size"}, {"size", "--nodes", "0"}, {"size", "--nodes", "6000"}, {"size", "--nodes", "5", "--worker", "cpu=2"}, {"size", "--nodes", "5", "--worker", "cpu=two,memory=1Gi,disk=1Gi"},
		{"size", "--nodes", "5", "--worker", "cpu=2,memory=1Gi,disk=1Gi", "--kube-reserved", "memory=2Gi"}, {"size", "--nodes", "5", "--worker", "gpu=2,memory=1Gi,disk=1Gi"},
		{"size", "--nodes", "5", "--worker", "cpu=2,memory=1Gi,disk=1Gi", "--eviction", "disk=200%"}, {"size", "--nodes", "5", "-o", "xml"},
	} {
		if out, err := said(args...); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%q: %s%v, exit code %d", args, out, err, exitCode(err))
		}
	}
}
