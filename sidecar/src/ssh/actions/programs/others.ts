import { each, type Judge, RUNS_OTHERS } from './finding.ts';

/**
 * Programs whose purpose, or one of whose keys, files or options, is to run another that is not told in their words, or to lead to
 * where nothing is inspected. Nothing that they are told to do is known; who wants one asks people.
 */
export const OTHERS: Readonly<Record<string, Judge>> = each(
  // With words from their input, as other users, elsewhere, later, or traced.
  `xargs parallel watch entr script screen tmux byobu expect unbuffer rlwrap at batch crontab systemd-run run-parts start-stop-daemon
  daemonize chroot unshare nsenter capsh pkexec gosu su-exec sg machinectl strace ltrace perf gdb lldb valgrind rr cgexec cgclassify
  setarch linux32 linux64 i386 x86_64 personality fakeroot fakechroot proot torsocks faketime xvfb-run dbus-run-session dbus-launch
  dbus-send busctl gdbus ssh-agent chpst softlimit setlock runsv svc s6-setuidgid logsave logrotate cron anacron incrond inotifywait
  ip tc setsid-wrapper catchsegv numactl prlimit choom schedtool trickle unionfs
  ssh slogin sftp scp autossh sshpass mosh telnet rsh rexec nc ncat netcat socat openssl
  sftp-server internal-sftp git-upload-pack git-receive-pack git-upload-archive git-shell rrsync rsync-ssl
  vim vi view ex nvim rvim vimdiff gvim emacs emacsclient nano pico joe jed ed red mg micro kak helix hx mc mcedit
  less more most pg man info apropos whatis lynx links elinks w3m browsh top htop atop nmon iotop glances
  mail mailx mutt alpine sendmail exim postfix irssi weechat
  fd fdfind ag ack locate bc dc m4 cpp tex latex pdflatex xelatex lualatex troff groff gs ctags cscope
  gcc g++ cc c++ clang ld as go rustc cargo javac gradle mvn ant sbt cmake ninja bazel meson scons rake tox nox just task
  npx yarn pnpm bun bunx deno uv uvx poetry pipx pipenv conda mamba bundle gem pip easy_install direnv nix nix-shell nix-env guix
  apt apt-get aptitude dpkg rpm yum dnf zypper apk pacman snap flatpak brew
  virsh vagrant lxc lxd incus crictl ctr nerdctl buildah skopeo helm oc k9s kustomize ansible ansible-playbook ansible-console salt puppet
  chef terraform tofu packer pulumi aws gcloud az doctl
  sqlite sqlite3 mongo mongosh clickhouse-client cqlsh duckdb tcpdump tshark nmap ettercap aria2c lftp ftp tftp ncftp rclone
  sudoedit vipw vigr visudo editor sensible-editor select-editor pager sensible-pager zless zmore bzless xzless zstdless tig lazygit gitk
  run-mailcap xdg-open see xterm x-terminal-emulator ssh-keygen ssh-add ssh-copy-id sshd iptables ip6tables ebtables arptables bpftrace sysdig
  convert magick mogrify identify exiftool gnuplot sqlplus nodemon pm2 forever composer dotnet swift jrunscript jdb pry c89 c99
  insmod modprobe mount umount fusermount sshfs losetup dmsetup split csplit cpio pax zip 7z 7za 7zr rar gpg gpg2 gpgsm`,
  () => RUNS_OTHERS,
);
