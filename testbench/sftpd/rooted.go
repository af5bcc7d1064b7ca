package sftpd

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
)

// rooted serves the files of one directory, which no name and no symbolic link leads out
// of. A name with a leading slash begins at the directory, or repeats its path.
type rooted struct {
	root *os.Root
	dir  string // the directory's path, absolute
}

func newRooted(dir string) (*rooted, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	return &rooted{root, abs}, nil
}

// name returns a client's path as one below the directory.
func (r *rooted) name(asked string) string {
	clean := path.Clean("/" + asked)
	if rest, ok := strings.CutPrefix(clean, r.dir); ok && (rest == "" || rest[0] == '/') {
		clean = "/" + strings.TrimPrefix(rest, "/")
	}
	if clean == "/" {
		return "."
	}
	return clean[1:]
}

func (r *rooted) handlers() sftp.Handlers {
	return sftp.Handlers{FileGet: r, FilePut: r, FileCmd: r, FileList: r}
}

func (r *rooted) Fileread(req *sftp.Request) (io.ReaderAt, error) {
	return r.root.Open(r.name(req.Filepath))
}

func (r *rooted) Filewrite(req *sftp.Request) (io.WriterAt, error) {
	flags, how := req.Pflags(), os.O_WRONLY
	if flags.Creat {
		how |= os.O_CREATE
	}
	if flags.Trunc {
		how |= os.O_TRUNC
	}
	if flags.Excl {
		how |= os.O_EXCL
	}
	return r.root.OpenFile(r.name(req.Filepath), how, 0o600)
}

func (r *rooted) Filecmd(req *sftp.Request) error {
	name := r.name(req.Filepath)
	switch req.Method {
	case "Setstat":
		if req.AttrFlags().Permissions {
			return r.root.Chmod(name, req.Attributes().FileMode().Perm())
		}
		return nil
	case "Rename": // to new names only, as in version 3 of the protocol
		if _, err := r.root.Lstat(r.name(req.Target)); !errors.Is(err, fs.ErrNotExist) {
			return fs.ErrExist
		}
		return r.PosixRename(req)
	case "Remove", "Rmdir":
		return r.root.Remove(name)
	case "Mkdir":
		return r.root.Mkdir(name, 0o700)
	}
	return sftp.ErrSSHFxOpUnsupported // links
}

// PosixRename replaces a file of the new name.
func (r *rooted) PosixRename(req *sftp.Request) error {
	return r.root.Rename(r.name(req.Filepath), r.name(req.Target))
}

func (r *rooted) Filelist(req *sftp.Request) (sftp.ListerAt, error) {
	name := r.name(req.Filepath)
	switch req.Method {
	case "List":
		dir, err := r.root.Open(name)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		all, err := dir.Readdir(-1)
		return infos(all), err
	case "Stat":
		info, err := r.root.Stat(name)
		return infos{info}, err
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// infos are what a list of files or a single one is answered with.
type infos []fs.FileInfo

func (l infos) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
