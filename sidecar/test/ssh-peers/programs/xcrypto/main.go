// Runs a command: PORT USER KEY HOST_KEY COMMAND; or, with "serve" first, runs commands: PORT HOST_KEY AUTHORIZED_KEY.
// Asks for new keys every megabyte.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"

	"golang.org/x/crypto/ssh"
)

const threshold = 1 << 20

func main() {
	log.SetFlags(0)
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	os.Exit(run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
}

func run(port, user, key, hostKey, command string) int {
	config := &ssh.ClientConfig{
		Config:          ssh.Config{RekeyThreshold: threshold},
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer(key))},
		HostKeyCallback: ssh.FixedHostKey(public(hostKey)),
	}
	client, err := ssh.Dial("tcp", "127.0.0.1:"+port, config)
	must(err)
	defer client.Close()
	session, err := client.NewSession()
	must(err)
	session.Stdin, session.Stdout, session.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *ssh.ExitError
	if err := session.Run(command); errors.As(err, &exit) {
		return exit.ExitStatus()
	} else {
		must(err)
	}
	return 0
}

func serve(port, hostKey, authorized string) {
	known := public(authorized).Marshal()
	config := &ssh.ServerConfig{
		Config: ssh.Config{RekeyThreshold: threshold},
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), known) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(signer(hostKey))
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	for {
		conn, err := listener.Accept()
		must(err)
		go accept(conn, config)
	}
}

func accept(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offer := range channels {
		channel, requests, err := offer.Accept()
		must(err)
		go handle(channel, requests)
	}
}

func handle(channel ssh.Channel, requests <-chan *ssh.Request) {
	for request := range requests {
		if request.Type != "exec" {
			must(request.Reply(false, nil))
			continue
		}
		var payload struct{ Command string }
		must(ssh.Unmarshal(request.Payload, &payload))
		must(request.Reply(true, nil))
		go func() {
			command := exec.Command("/bin/sh", "-c", payload.Command)
			command.Stdin, command.Stdout, command.Stderr = channel, channel, channel.Stderr()
			var exit *exec.ExitError
			status := uint32(0)
			if errors.As(command.Run(), &exit) {
				status = uint32(exit.ExitCode())
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			_ = channel.Close()
		}()
	}
}

func signer(path string) ssh.Signer {
	key, err := ssh.ParsePrivateKey(read(path))
	must(err)
	return key
}

func public(path string) ssh.PublicKey {
	key, _, _, _, err := ssh.ParseAuthorizedKey(read(path))
	must(err)
	return key
}

func read(path string) []byte {
	text, err := os.ReadFile(path)
	must(err)
	return text
}

func must(err error) {
	if err != nil {
		log.Fatal(fmt.Errorf("peer: %w", err))
	}
}
