package admin

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"itlagent/platform/console"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// tftpFolder is where the files of the TFTP service are, as the command line
// shows it.
const tftpFolder = "/usr/local/cm/tftp/"

var fileCommands = []command{
	{words: "file list tftp", args: "[NAME]", max: 1, about: "the files of the TFTP service; * stands for any text", run: fileList},
	{words: "file get tftp", args: "NAME", min: 1, max: 1, about: "send a file of the TFTP service to an SFTP server", run: fileGet},
}

func fileList(s *Session, args []string) error {
	pattern := "*"
	if len(args) == 1 {
		pattern = args[0]
	}
	count := 0
	for _, name := range s.Node.State().TFTPFiles() {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return usageError(fmt.Sprintf("%s is not a file name", pattern))
		}
		if ok {
			s.say("%s", name)
			count++
		}
	}
	s.say("dir count = 0, file count = %d", count)
	return nil
}

func fileGet(s *Session, args []string) error {
	name := args[0]
	s.say("Please wait while the system is gathering files info ...done.")
	data, err := s.Node.State().TFTPFile(name)
	if err != nil {
		return fmt.Errorf("File not found: %s", name)
	}
	// The note's figure of Kbytes has the digits of a 32-bit number.
	kbytes := strconv.FormatFloat(float64(float32(len(data))/1024), 'f', -1, 32)
	s.say("Sub-directories were not traversed.\nNumber of files affected: 1\nTotal size in Bytes: %d\nTotal size in Kbytes: %s", len(data), kbytes)
	if err := s.confirm("Would you like to proceed [y/n]? "); err != nil {
		return err
	}
	var answers [5]string
	for i, q := range []struct {
		prompt string
		how    console.Echo
	}{{"SFTP server IP: ", console.Shown}, {"SFTP server port [22]: ", console.Shown}, {"User ID: ", console.Shown}, {"Password: ", console.Masked}, {"\nDownload directory: ", console.Shown}} {
		answer, err := s.io.Ask(q.prompt, q.how)
		if err != nil {
			return err
		}
		if q.how == console.Shown {
			answer = strings.TrimSpace(answer)
		}
		answers[i] = answer
	}
	server, port, user, password, dir := answers[0], answers[1], answers[2], answers[3], answers[4]
	if port == "" {
		port = "22"
	}
	s.say("")
	remote, err := s.openSFTP(server, port, user, password)
	if err != nil {
		return fmt.Errorf("%w\nNo file was transferred.", err)
	}
	defer remote.Close()
	if err := remote.put(path.Join(dir, name), data); err != nil {
		return fmt.Errorf("%w\nNo file was transferred.", err)
	}
	s.say("\nTransfer completed.\nDownloading file: %s%s", tftpFolder, name)
	if name == state.P12Name {
		return s.cluster.Apply(operation.RecoverySaved(data))
	}
	return nil
}

var bulkCommands = []command{
	{words: "utils bulkcert export", args: "HOST[:PORT] USER DIR", min: 3, max: 3, publisher: true, own: true, about: "send the certificates that phones must trust to an SFTP server", run: bulkExport},
	{words: "utils bulkcert consolidate", args: "HOST[:PORT] USER DIR", min: 3, max: 3, publisher: true, own: true, about: "join what several clusters have exported", run: bulkConsolidate},
	{words: "utils bulkcert import", args: "HOST[:PORT] USER DIR", min: 3, max: 3, publisher: true, own: true, about: "put what was consolidated into Phone-SAST-trust and CallManager-trust", run: bulkImport},
}

// The files of a bulk transfer: of each cluster, and of all.
const (
	bulkTFTP     = ".tftp.p12"
	bulkRecovery = ".itlrecovery.p12"
	bulkAll      = "consolidated"
)

// bulk opens the SFTP server of a bulk command.
func (s *Session) bulk(args []string) (*remote, error) {
	password, err := s.io.Ask("Enter Sftp password :", console.Unbroken)
	if err != nil {
		return nil, err
	}
	host, port := hostPort(args[0])
	return s.openSFTP(host, port, args[1], password)
}

func bulkExport(s *Session, args []string) error {
	callManagers, recovery := s.cluster.State().Foreign()
	r, err := s.bulk(args)
	if err != nil {
		return err
	}
	defer r.Close()
	name := path.Join(args[2], s.Node.State().FQDN())
	if err := r.putCertificates(name+bulkTFTP, callManagers); err != nil {
		return err
	}
	count := len(callManagers)
	if recovery != nil {
		if err := r.putCertificates(name+bulkRecovery, []*certificate{recovery}); err != nil {
			return err
		}
		count++
	}
	s.say("Exported %d certificates of %s", count, s.Node.State().FQDN())
	return nil
}

func bulkConsolidate(s *Session, args []string) error {
	r, err := s.bulk(args)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, kind := range []string{bulkTFTP, bulkRecovery} {
		names, err := r.list(args[2], kind)
		if err != nil {
			return err
		}
		var all []*certificate
		clusters := 0
		for _, name := range names {
			if name == bulkAll+kind {
				continue
			}
			certs, err := r.certificates(path.Join(args[2], name))
			if err != nil {
				return err
			}
			all = append(all, certs...)
			clusters++
		}
		if kind == bulkTFTP && clusters < 2 {
			return errors.New("There is nothing to consolidate: export the certificates of both clusters first.")
		}
		if len(all) == 0 {
			continue // releases without ITLRecovery
		}
		if err := r.putCertificates(path.Join(args[2], bulkAll+kind), all); err != nil {
			return err
		}
		s.say("Consolidated %d certificates of %d clusters into %s", len(all), clusters, bulkAll+kind)
	}
	return nil
}

func bulkImport(s *Session, args []string) error {
	r, err := s.bulk(args)
	if err != nil {
		return err
	}
	defer r.Close()
	own := make(map[string]bool)
	callManagers, recovery := s.cluster.State().Foreign()
	for _, c := range append(callManagers, recovery) {
		if c != nil {
			own[string(c.Raw)] = true
		}
	}
	foreign := func(kind string) (out []*certificate, err error) {
		certs, err := r.certificates(path.Join(args[2], bulkAll+kind))
		for _, c := range certs {
			if !own[string(c.Raw)] {
				out = append(out, c)
			}
		}
		return out, err
	}
	tftp, err := foreign(bulkTFTP)
	if err != nil {
		return err
	}
	recoveries, err := foreign(bulkRecovery)
	if err != nil && !errors.Is(err, errNoRemoteFile) {
		return err
	}
	if err := s.cluster.Apply(operation.Import(profile.PhoneSASTTrust, append(recoveries, tftp...)...)); err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.Import(profile.CallManagerTrust, tftp...)); err != nil {
		return err
	}
	s.say("Imported %d certificates\nYou must restart Cisco Trust Verification Service on every node for them to become active.", len(tftp)+len(recoveries))
	return nil
}
