package clusterfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

const head = "# ours\napiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod   # to be renamed\n"

// flow has one host a line, and more behind the hosts.
const flow = head + `hosts:
# control planes
- {name: m1, address: 10.0.0.11, roles: [control-plane]}   # rack 1
- {name: m2, address: 10.0.0.12, roles: [control-plane]}   # rack 2
- {name: m3, address: 10.0.0.13, roles: [control-plane]}

# workers
- {name: m4, address: 10.0.0.14, roles: [worker], labels: {disk: ssd}}
- {"name": "m5", roles: [worker], address: '10.0.0.15'}

# what follows
kubelet: {maxPods: 50}
`

const block = head + `kubelet:
  maxPods: 50
hosts:
  - name: m1
    # by the door
    address: 10.0.0.11
    roles:
    - control-plane

  # 4 CPUs
  - roles: [worker]
    name: m4
    address: 10.0.0.14
    # this is m4's
  # 8 CPUs
  - name: m5
    address: 10.0.0.15
    roles: [worker]`

const six = head + `network: {podRanges: ["fd42::/48"], serviceRanges: ["fd43::/112"]}
hosts:
-   name: m1
    address: fd00::11
    roles: [control-plane]
`

const ranges = head + `hosts:
- {name: "cp[1-3]", address: "10.0.0.[11-13]", roles: [control-plane]}
- {name: "worker[08-12]", address: "10.0.1.[8-12]", internalAddresses: ["10.1.0.254-10.1.1.2"], roles: [worker]} # rented
- name: db[1-3]
  address: 10.0.2.1-10.0.2.3
  roles: [worker]
---
`

func TestEdits(t *testing.T) {
	worker, plane := []v1alpha1.Role{v1alpha1.Worker}, []v1alpha1.Role{v1alpha1.ControlPlane}
	add := func(roles []v1alpha1.Role, namesAndAddresses ...string) func([]byte) ([]byte, error) {
		return func(content []byte) ([]byte, error) {
			var hosts []v1alpha1.Host
			for i := 0; i < len(namesAndAddresses); i += 2 {
				hosts = append(hosts, v1alpha1.Host{Name: namesAndAddresses[i], Address: namesAndAddresses[i+1]})
			}
			return Add("cluster.yaml", content, roles, hosts...)
		}
	}
	remove := func(names ...string) func([]byte) ([]byte, error) {
		return func(content []byte) ([]byte, error) { return Remove("cluster.yaml", content, names...) }
	}
	replace := func(name, address, as string) func([]byte) ([]byte, error) {
		return func(content []byte) ([]byte, error) { return Replace("cluster.yaml", content, name, address, as) }
	}
	for _, c := range []struct {
		name, before string
		edit         func([]byte) ([]byte, error)
		old, made    string // made stands in place of old; the rest is as it was
		wrong        string
	}{
		{name: "add a worker", before: flow, edit: add(worker, "m6", "10.0.0.16"), old: "'10.0.0.15'}\n", made: "'10.0.0.15'}\n- {name: m6, address: 10.0.0.16, roles: [worker]}\n"},
		{name: "add two control planes", before: flow, edit: add(plane, "m6", "10.0.0.16", "m7", "10.0.0.17"), old: "10.0.0.13, roles: [control-plane]}\n",
			made: "10.0.0.13, roles: [control-plane]}\n- {name: m6, address: 10.0.0.16, roles: [control-plane]}\n- {name: m7, address: 10.0.0.17, roles: [control-plane]}\n"},
		{name: "add to a block without an end", before: block, edit: add(worker, "m6", "10.0.0.16"), old: "10.0.0.15\n    roles: [worker]",
			made: "10.0.0.15\n    roles: [worker]\n  - name: m6\n    address: 10.0.0.16\n    roles: [worker]\n"},
		{name: "add a range", before: block, edit: add(plane, "cp[1-2]", "10.0.0.[21-22]"), old: "    - control-plane\n",
			made: "    - control-plane\n  - name: \"cp[1-2]\"\n    address: \"10.0.0.[21-22]\"\n    roles: [control-plane]\n"},
		{name: "add with a role that has nothing to do", before: ranges, edit: add([]v1alpha1.Role{v1alpha1.LoadBalancer}, "lb1", "10.0.3.1"), wrong: "lb1 has the role loadbalancer"},
		{name: "add behind ranges", before: ranges, edit: add([]v1alpha1.Role{v1alpha1.Worker}, "lb1", "10.0.3.1"), old: "---\n",
			made: "- name: lb1\n  address: 10.0.3.1\n  roles: [worker]\n---\n"},
		{name: "lines of Windows", before: strings.ReplaceAll(flow, "\n", "\r\n"), edit: add(worker, "m6", "10.0.0.16"), old: "'10.0.0.15'}\r\n", made: "'10.0.0.15'}\r\n- {name: m6, address: 10.0.0.16, roles: [worker]}\r\n"},
		{name: "add with an address of IPv6", before: six, edit: add(worker, "m2", "fd00::12"), old: "[control-plane]\n",
			made: "[control-plane]\n-   name: m2\n    address: \"fd00::12\"\n    roles: [worker]\n"},
		{name: "add one that is there", before: ranges, edit: add(worker, "worker09", "10.0.0.16"), wrong: "cluster.yaml has a host worker09 already"},
		{name: "add one twice", before: flow, edit: add(worker, "m6", "10.0.0.16", "m6", "10.0.0.17"), wrong: "cluster.yaml has a host m6 already"},
		{name: "add one control plane", before: flow, edit: add(plane, "m6", "10.0.0.16"), wrong: "cluster.yaml is left as it is, since it would not be valid:"},
		{name: "add at an address that is taken", before: flow, edit: add(worker, "m6", "10.0.0.11"), wrong: "10.0.0.11"},
		{name: "add at none", before: flow, edit: add(worker, "m6", "10.0.0.256"), wrong: "cannot be meant"},

		{name: "remove a worker", before: flow, edit: remove("m5"), old: "- {\"name\": \"m5\", roles: [worker], address: '10.0.0.15'}\n"},
		{name: "remove control planes", before: flow, edit: remove("m3", "m1"), old: flow[strings.Index(flow, "- {name: m1"):strings.Index(flow, "\n# workers")],
			made: "- {name: m2, address: 10.0.0.12, roles: [control-plane]}   # rack 2\n"},
		{name: "remove all workers", before: flow, edit: remove("m4", "m5"), old: flow[strings.Index(flow, "- {name: m4"):strings.Index(flow, "\n# what follows")]},
		{name: "remove with the comment of its own", before: block, edit: remove("m4"), old: block[strings.Index(block, "  # 4 CPUs"):strings.Index(block, "  # 8 CPUs")]},
		{name: "remove the last", before: block, edit: remove("m5"), old: block[strings.Index(block, "  # 8 CPUs"):]},
		{name: "remove from a range", before: ranges, edit: remove("worker10"), old: `- {name: "worker[08-12]", address: "10.0.1.[8-12]", internalAddresses: ["10.1.0.254-10.1.1.2"], roles: [worker]} # rented
`, made: `- {name: "worker[08-09]", address: "10.0.1.[8-9]", internalAddresses: ["10.1.0.254-10.1.0.255"], roles: [worker]} # rented
- {name: "worker[11-12]", address: "10.0.1.[11-12]", internalAddresses: ["10.1.1.1-10.1.1.2"], roles: [worker]} # rented
`},
		{name: "remove the ends of ranges", before: ranges, edit: remove("worker08", "worker12", "db1"), old: `"worker[08-12]", address: "10.0.1.[8-12]", internalAddresses: ["10.1.0.254-10.1.1.2"], roles: [worker]} # rented
- name: db[1-3]
  address: 10.0.2.1-10.0.2.3
`, made: `"worker[09-11]", address: "10.0.1.[9-11]", internalAddresses: ["10.1.0.255-10.1.1.1"], roles: [worker]} # rented
- name: db[2-3]
  address: 10.0.2.2-10.0.2.3
`},
		{name: "leave one of a range", before: ranges, edit: remove("cp1", "cp3"), old: `"cp[1-3]", address: "10.0.0.[11-13]"`, made: `"cp2", address: "10.0.0.12"`},
		{name: "remove a whole range", before: ranges, edit: remove("db1", "db2", "db3"), old: ranges[strings.Index(ranges, "- name: db"):strings.Index(ranges, "---")]},
		{name: "remove one that is not there", before: flow, edit: remove("m9"), wrong: "cluster.yaml has no host m9"},
		{name: "remove one control plane", before: flow, edit: remove("m1"), wrong: "an even number"},
		{name: "remove the last control plane", before: block, edit: remove("m1"), wrong: "m1: no control plane would be left"},

		{name: "replace a host", before: flow, edit: replace("m1", "10.0.0.21", ""), old: "m1, address: 10.0.0.11", made: "m1, address: 10.0.0.21"},
		{name: "replace by another name", before: flow, edit: replace("m5", "10.0.0.25", "m6"), old: `"m5", roles: [worker], address: '10.0.0.15'`, made: `"m6", roles: [worker], address: '10.0.0.25'`},
		{name: "replace in a block", before: block, edit: replace("m4", "m6.example.com", "m6"), old: "    name: m4\n    address: 10.0.0.14", made: "    name: m6\n    address: m6.example.com"},
		{name: "replace with an address of IPv6", before: six, edit: replace("m1", "fd00::12", ""), old: "fd00::11", made: "\"fd00::12\""},
		{name: "replace in a range", before: ranges, edit: replace("cp2", "10.0.0.22", "cp4"), old: `- {name: "cp[1-3]", address: "10.0.0.[11-13]", roles: [control-plane]}
`, made: `- {name: "cp1", address: "10.0.0.11", roles: [control-plane]}
- {name: "cp4", address: "10.0.0.22", roles: [control-plane]}
- {name: "cp3", address: "10.0.0.13", roles: [control-plane]}
`},
		{name: "replace by itself", before: flow, edit: replace("m1", "10.0.0.11", "")},
		{name: "replace where more has to be said", before: ranges, edit: replace("worker09", "10.0.1.19", ""), wrong: "worker09 has internalAddresses"},
		{name: "replace by a name that is taken", before: flow, edit: replace("m1", "10.0.0.21", "m2"), wrong: "cluster.yaml has a host m2 already"},
		{name: "replace one that is not there", before: flow, edit: replace("m9", "10.0.0.21", ""), wrong: "cluster.yaml has no host m9"},
		{name: "replace by an address that is taken", before: flow, edit: replace("m1", "10.0.0.12", ""), wrong: "would not be valid"},

		{name: "a list in one line", before: head + "hosts: [{name: m1, address: 10.0.0.11, roles: [control-plane]}]\n", edit: add(worker, "m6", "10.0.0.16"), wrong: "change them by hand"},
		{name: "a value with an escape", before: head + "hosts:\n- {name: m1, address: 10.0.0.11, roles: [control-plane]}\n- {name: \"m\\x32\", address: 10.0.0.12, roles: [worker]}\n", edit: replace("m2", "10.0.0.13", ""), wrong: "line 7: hosts are written there in a way"},
		{name: "an invalid file", before: head + "hosts: []\n", edit: remove("m1"), wrong: "at least one host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(c.before, c.old) != 1 && c.old != "" {
				t.Fatalf("%q does not stand there once", c.old)
			}
			got, err := c.edit([]byte(c.before))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("it says %v, want %s", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(c.before, c.old, c.made, 1); string(got) != want {
				t.Errorf("it makes\n%s\nwant\n%s", got, want)
			}
		})
	}
	_, err := Remove("cluster.yaml", []byte(flow), "m1")
	if !errors.As(err, &v1alpha1.InvalidError{}) {
		t.Errorf("what would be invalid is %T", err)
	}
}
