package resource_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/kube"
)

// aDeployment is applied, and anAppliedDeployment what the API server makes of it: with what it gives by default, what its controller says, and who owns what.
const (
	aDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: b
  namespace: a
  labels: {app: b}
  finalizers: [x.org/w, x.org/z]
spec:
  replicas: 2
  selector:
    matchLabels: {app: b}
  template:
    metadata:
      labels: {app: b}
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      tolerations:
      - operator: Exists
      containers:
      - name: c
        image: i:1
        args: [--a, --b]
        env:
        - name: A
          value: one
        - name: B
          value: two
        ports:
        - containerPort: 53
        - containerPort: 53
          protocol: UDP
      volumes:
      - name: v
        emptyDir: {}
`
	anAppliedDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    deployment.kubernetes.io/revision: "1"
  creationTimestamp: "2026-01-01T00:00:00Z"
  finalizers: [x.org/w, x.org/z]
  generation: 1
  labels: {app: b}
  managedFields:
  - apiVersion: apps/v1
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:finalizers:
          v:"x.org/w": {}
          v:"x.org/z": {}
        f:labels:
          f:app: {}
      f:spec:
        f:replicas: {}
        f:selector: {}
        f:template:
          f:metadata:
            f:labels:
              f:app: {}
          f:spec:
            f:containers:
              k:{"name":"c"}:
                .: {}
                f:args: {}
                f:env:
                  k:{"name":"A"}:
                    .: {}
                    f:name: {}
                    f:value: {}
                  k:{"name":"B"}:
                    .: {}
                    f:name: {}
                    f:value: {}
                f:image: {}
                f:name: {}
                f:ports:
                  k:{"containerPort":53,"protocol":"TCP"}:
                    .: {}
                    f:containerPort: {}
                  k:{"containerPort":53,"protocol":"UDP"}:
                    .: {}
                    f:containerPort: {}
                    f:protocol: {}
            f:nodeSelector: {}
            f:tolerations: {}
            f:volumes:
              k:{"name":"v"}:
                .: {}
                f:emptyDir: {}
                f:name: {}
    manager: kubewright
    operation: Apply
    time: "2026-01-01T00:00:00Z"
  - apiVersion: apps/v1
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:annotations:
          .: {}
          f:deployment.kubernetes.io/revision: {}
      f:status:
        f:observedGeneration: {}
    manager: kube-controller-manager
    operation: Update
    subresource: status
    time: "2026-01-01T00:00:01Z"
  name: b
  namespace: a
  resourceVersion: "77"
  uid: 6a1ab2a5-0000-0000-0000-000000000000
spec:
  progressDeadlineSeconds: 600
  replicas: 2
  revisionHistoryLimit: 10
  selector:
    matchLabels: {app: b}
  strategy:
    rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}
    type: RollingUpdate
  template:
    metadata:
      labels: {app: b}
    spec:
      containers:
      - args: [--a, --b]
        env:
        - name: A
          value: one
        - name: B
          value: two
        image: i:1
        imagePullPolicy: IfNotPresent
        name: c
        ports:
        - containerPort: 53
          protocol: TCP
        - containerPort: 53
          protocol: UDP
        resources: {}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      dnsPolicy: ClusterFirst
      nodeSelector: {kubernetes.io/os: linux}
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
      tolerations:
      - operator: Exists
      volumes:
      - emptyDir: {}
        name: v
status:
  observedGeneration: 1
`
)

// What is there shows whether a trial can show anything. It is asked for wherever that is not certain.
func TestObjectIsTriedOnlyIfItMayChange(t *testing.T) {
	type change []string // old, new, old, new…
	for _, c := range []struct {
		name       string
		live, want change
		tried      bool
	}{
		{name: "as it was applied"},
		{name: "changed by kubectl edit", live: change{"        image: i:1", "        image: i:2", "                f:image: {}\n", ""}, tried: true},
		{name: "changed, and none of the owners knows", live: change{"        image: i:1", "        image: i:2"}, tried: true},
		{name: "changed by kubectl edit, and back", live: change{"                f:image: {}\n", ""}},
		{name: "another value is wanted", want: change{"i:1", "i:2"}, tried: true},
		{name: "a number changed", live: change{"  replicas: 2", "  replicas: 3"}, tried: true},
		{name: "a text is wanted, not a number", want: change{"replicas: 2", `replicas: "2"`}, tried: true},
		{name: "gone", live: change{"        image: i:1\n", ""}, tried: true},
		{name: "a label is not wanted any more", want: change{"  labels: {app: b}\n  finalizers", "  finalizers"}, tried: true},
		{name: "a field is not wanted any more", want: change{"  replicas: 2\n", ""}, tried: true},
		{name: "an item is not wanted any more", want: change{"        - name: B\n          value: two\n", ""}, tried: true},
		{name: "a field of an item is not wanted any more", want: change{"          protocol: UDP\n", ""}, tried: true},
		{name: "a field of an item is not wanted any more, the default", live: change{
			`k:{"containerPort":53,"protocol":"TCP"}:
                    .: {}
`, `k:{"containerPort":53,"protocol":"TCP"}:
                    .: {}
                    f:protocol: {}
`}, tried: true},
		{name: "a finalizer is not wanted any more", want: change{"[x.org/w, x.org/z]", "[x.org/w]"}, tried: true},
		{name: "a list that is owned itself", live: change{"        f:finalizers:\n", "        f:finalizers:\n          .: {}\n"}},
		{name: "another finalizer is wanted", want: change{"[x.org/w, x.org/z]", "[x.org/w, x.org/v]"}, tried: true},
		{name: "an item is wanted that another added", live: change{`                  k:{"name":"B"}:
                    .: {}
                    f:name: {}
                    f:value: {}
`, ""}},
		{name: "an item is wanted that another added, with more", live: change{`                  k:{"name":"B"}:
                    .: {}
                    f:name: {}
                    f:value: {}
`, "", "          value: two", "          value: two\n          valueFrom: {}"}, tried: true},
		{name: "others added an item", live: change{"          value: two", "          value: two\n        - name: C\n          value: three"}, tried: true},
		{name: "others changed the order of items", live: change{"        - name: A\n          value: one\n        - name: B\n          value: two\n",
			"        - name: B\n          value: two\n        - name: A\n          value: one\n"}, tried: true},
		{name: "another order is wanted", want: change{"[--a, --b]", "[--b, --a]"}, tried: true},
		{name: "others added a label", live: change{"  labels: {app: b}\n  managed", "  labels: {app: b, x: z}\n  managed"}},
		{name: "a default is wanted, too", want: change{"  replicas: 2", "  replicas: 2\n  revisionHistoryLimit: 10\n  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}"}},
		{name: "a part of a default is wanted, too", want: change{"  replicas: 2", "  replicas: 2\n  strategy: {type: RollingUpdate}"}, tried: true},
		{name: "more is wanted", want: change{"  replicas: 2", "  replicas: 2\n  paused: true"}, tried: true},
		{name: "nothing is wanted, by name", want: change{"  replicas: 2", "  replicas: 2\n  paused: null"}, tried: true},
		{name: "what is owned as a whole has more", live: change{"nodeSelector: {kubernetes.io/os: linux}", "nodeSelector: {kubernetes.io/os: linux, disk: ssd}"}, tried: true},
		{name: "what another owns as a whole has more", live: change{"nodeSelector: {kubernetes.io/os: linux}", "nodeSelector: {kubernetes.io/os: linux, disk: ssd}",
			"            f:nodeSelector: {}\n", ""}, tried: true},
		{name: "an empty field has more", live: change{"emptyDir: {}\n        name", "emptyDir: {medium: Memory}\n        name"}, tried: true},
		{name: "an item of what is owned as a whole has more", live: change{"- operator: Exists", "- operator: Exists\n        effect: NoSchedule"}, tried: true},
		{name: "nobody knows who owns what", live: change{"  managedFields:\n", "  forgotten:\n"}, tried: true},
		{name: "another applied it", live: change{"    manager: kubewright", "    manager: kubectl"}, tried: true},
		{name: "it was written, not applied", live: change{"    manager: kubewright\n    operation: Apply", "    manager: kubewright\n    operation: Update"}, tried: true},
		{name: "it was written, too", live: change{"    manager: kube-controller-manager\n", "    manager: kubewright\n"}},
		{name: "its status was applied, too", live: change{"    manager: kube-controller-manager\n    operation: Update", "    manager: kubewright\n    operation: Apply"}},
		{name: "it was applied twice", live: change{"    manager: kube-controller-manager\n    operation: Update\n    subresource: status", "    manager: kubewright\n    operation: Apply"}, tried: true},
		{name: "by another version of the API", live: change{"  - apiVersion: apps/v1\n    fieldsType: FieldsV1\n    fieldsV1:\n      f:metadata:\n        f:finalizers",
			"  - apiVersion: apps/v1beta2\n    fieldsType: FieldsV1\n    fieldsV1:\n      f:metadata:\n        f:finalizers"}, tried: true},
		{name: "in another notation", live: change{"    fieldsType: FieldsV1\n    fieldsV1:\n      f:metadata:\n        f:finalizers", "    fieldsType: FieldsV2\n    fieldsV1:\n      f:metadata:\n        f:finalizers"}, tried: true},
		{name: "nothing is owned", live: change{"    fieldsV1:\n      f:metadata:\n        f:finalizers", "    fields:\n      f:metadata:\n        f:finalizers"}, tried: true},
		{name: "a name that is not understood", live: change{`v:"x.org/z": {}`, `i:1: {}`}, tried: true},
		{name: "a field of a map that is not understood", live: change{"          f:app: {}\n      f:spec", "          x:app: {}\n      f:spec"}, tried: true},
		{name: "keys that are not understood", live: change{`k:{"name":"B"}`, `k:{"name":}`}, tried: true},
		{name: "keys of nothing", live: change{`k:{"name":"B"}`, `k:{}`}, tried: true},
		{name: "keys of what is not there", live: change{`k:{"name":"B"}`, `k:{"name":"C"}`}, tried: true},
		{name: "fields that are none", live: change{"        f:replicas: {}\n", "        f:replicas: 1\n"}, tried: true},
		{name: "items that are none", live: change{`v:"x.org/z": {}`, `v:"x.org/z": 1`}, tried: true},
		{name: "a map for a text", live: change{"                f:image: {}\n", "                f:image: {f:tag: {}}\n"}, tried: true},
		{name: "two items of the same keys", live: change{"        - name: B\n          value: two\n", "        - name: A\n          value: one\n", `k:{"name":"B"}`, `k:{"name":"A", "value":"one"}`},
			want: change{"        - name: B\n          value: two\n", "        - name: A\n          value: one\n"}, tried: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, env, api := withAPI(t)
			with := func(text string, changes change) string {
				for i := 0; i < len(changes); i += 2 {
					if strings.Count(text, changes[i]) != 1 {
						t.Fatalf("%q is there %d times", changes[i], strings.Count(text, changes[i]))
					}
					text = strings.Replace(text, changes[i], changes[i+1], 1)
				}
				return text
			}
			a.Put(with(anAppliedDeployment, c.live))
			k := object(t, api, with(aDeployment, c.want))
			o, err := k.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			if got := tried(a.Requests()); got != c.tried {
				t.Errorf("it was tried: %v", got)
			}
			if d := k.Diff(o); len(d) > 0 && !c.tried {
				t.Errorf("it was not tried, and is to change: %v", d)
			}
		})
	}
}

// tried says whether something was tried.
func tried(requests []string) bool {
	return slices.ContainsFunc(requests, func(r string) bool { return strings.Contains(r, "dryRun") })
}

func TestSecretIsTriedIfItMayChange(t *testing.T) {
	const (
		want = "{apiVersion: v1, kind: Secret, metadata: {namespace: a, name: b}, type: Opaque, data: {k: dGlnZXI=}}"
		live = `{apiVersion: v1, kind: Secret, metadata: {namespace: a, name: b, managedFields: [{manager: kubewright, operation: Apply, apiVersion: v1, fieldsType: FieldsV1,
			fieldsV1: {"f:data": {"f:k": {}}, "f:type": {}}}]}, type: Opaque, data: {k: dGlnZXI=, theirs: eA==}}`
	)
	for text, is := range map[string]bool{
		want: false,
		strings.Replace(want, "dGlnZXI=", "Y2F0", 1):                                                  true,
		strings.Replace(want, "data: {k: dGlnZXI=}", "stringData: {k: tiger}", 1):                     true,
		strings.Replace(want, "data: {k: dGlnZXI=}", "data: {k: dGlnZXI=}, stringData: {k: lion}", 1): true,
	} {
		a, env, api := withAPI(t)
		a.Put(live)
		if _, err := object(t, api, text).Observe(t.Context(), env); err != nil || tried(a.Requests()) != is {
			t.Errorf("%s: it was tried: %v; %v", text, !is, err)
		}
	}
}

// What is applied is read from then on, and tried when something else is wanted.
func TestObjectThatIsApplied(t *testing.T) {
	a, env, api := withAPI(t)
	ref := kube.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "a", Name: "b"}
	for _, c := range []struct{ want, words string }{
		{"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b, labels: {x: z}}, data: {k: v, l: w}}", "present: absent → present"},
		{"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b, labels: {x: z}}, data: {k: v}}", "data.l: w → none"},
		{"{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {k: v}}", "metadata.labels.x: z → none"},
	} {
		k := object(t, api, c.want)
		o, err := k.Observe(t.Context(), env)
		if got := inWords(k.Diff(o)); err != nil || got != c.words {
			t.Errorf("it says\n%s, %v\nwant\n%s", got, err, c.words)
		}
		if err := k.Apply(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		a.Requests()
		if o, err := k.Observe(t.Context(), env); err != nil || len(k.Diff(o)) > 0 || tried(a.Requests()) {
			t.Errorf("after it was applied: %v, %v", k.Diff(o), err)
		}
	}
	if o := a.Object(ref); o == nil || len(o.GetLabels()) > 0 {
		t.Errorf("it is %v", o)
	}
}
