package etcd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/kubewright/kubewright/internal/etcd"
)

// answering is a member as it answers by gRPC.
type answering struct {
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedKVServer
	asked   []*pb.RangeRequest
	refuses map[string]error // by key
}

func (a *answering) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{
		Header: &pb.ResponseHeader{ClusterId: 0xc1, MemberId: 0xa1}, Version: "3.6.1", Leader: 0xa2, DbSize: 100, DbSizeQuota: 200, Errors: []string{"memberID:1 alarm:NOSPACE "},
	}, nil
}

func (a *answering) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	a.asked = append(a.asked, r)
	return &pb.RangeResponse{Count: 5}, a.refuses[string(r.Key)]
}

func TestAskServer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	pair := tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	member := &answering{}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})))
	pb.RegisterMaintenanceServer(server, member)
	pb.RegisterKVServer(server, member)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	at := "https://" + listener.Addr().String()
	config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}

	got := etcd.AskServer(t.Context(), config.Clone(), at, "/registry")
	want := etcd.Server{URL: at, Cluster: "c1", ID: "a1", Leader: "a2", Version: "3.6.1", Size: 100, Quota: 200, Alarms: []string{"NOSPACE"}, Holds: 5}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v; want %+v", got, want)
	}
	if r := member.asked[0]; string(r.Key) != "/registry/" || string(r.RangeEnd) != "/registry0" || !r.CountOnly || r.Serializable {
		t.Errorf("it was asked %v", r)
	}
	for key, want := range map[string]string{"/registry/": "permission denied", "compact_rev_key": "compact_rev_key: permission denied"} {
		member.refuses = map[string]error{key: status.Error(codes.PermissionDenied, "etcdserver: permission denied")}
		if got := etcd.AskServer(t.Context(), config.Clone(), at, "/registry"); got.Unwell != want || got.Cluster != "c1" {
			t.Errorf("to who may not read %s it says %+v", key, got)
		}
	}
	nobody := config.Clone()
	nobody.RootCAs = x509.NewCertPool()
	if got := etcd.AskServer(t.Context(), nobody, at, "/registry"); !strings.HasPrefix(got.Unwell, "tls: failed to verify certificate") {
		t.Errorf("one of another authority is %+v", got)
	}
	server.Stop()
	if got := etcd.AskServer(t.Context(), config.Clone(), at, "/registry"); !strings.HasSuffix(got.Unwell, "connection refused") || strings.Contains(got.Unwell, "desc") {
		t.Errorf("one that does not run is %+v", got)
	}
}

func TestApart(t *testing.T) {
	for want, servers := range map[string][]etcd.Server{
		"":        {{URL: "a", Cluster: "1"}, {URL: "b"}, {URL: "c", Cluster: "1"}},
		"a c / b": {{URL: "a", Cluster: "1"}, {URL: "b", Cluster: "2"}, {URL: "c", Cluster: "1"}},
	} {
		var got []string
		for _, side := range etcd.Apart(servers) {
			got = append(got, strings.Join(side, " "))
		}
		if strings.Join(got, " / ") != want {
			t.Errorf("they are %q; want %q", got, want)
		}
	}
}
