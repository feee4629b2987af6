package converge

import (
	"context"
	"errors"
	"io"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/ssh"
)

// OverSSH connects by SSH and starts the agent there. password is asked what sudo wants; see agent.LaunchOptions.
func OverSSH(d *ssh.Dialer, binary *agent.Binary, password func(ctx context.Context, host string) ([]byte, error)) Connect {
	return func(ctx context.Context, h v1alpha1.Host, progress func(string)) (io.ReadWriteCloser, error) {
		progress("connecting")
		c, err := d.Dial(ctx, ssh.Target{Name: h.Name, Address: h.Address, Port: h.SSH.Port, User: h.SSH.User, Key: h.SSH.Key, Bastion: h.SSH.Bastion})
		if err != nil {
			return nil, err
		}
		progress("starting the agent")
		s, err := agent.Launch(ctx, c, agent.LaunchOptions{Host: h.Name, Binary: binary, SudoPassword: password, Progress: progress})
		if err != nil {
			c.Close()
			return nil, err
		}
		return &overSSH{s, c}, nil
	}
}

// overSSH is a stream to an agent with the connection that it has for itself.
type overSSH struct {
	*agent.Stream
	client *ssh.Client
}

func (o *overSSH) Close() error {
	err := o.Stream.Close()
	o.client.Close()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
