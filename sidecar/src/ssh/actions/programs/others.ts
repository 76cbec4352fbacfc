import { each, type Judge, RUNS_OTHERS } from './finding.ts';

/**
 * Programs whose purpose, or one of whose keys, files or options, is to run another that is not told in their words, or to lead to
 * where nothing is inspected. Nothing that they are told to do is known; who wants one asks people.
 */
export const OTHERS: Readonly<Record<string, Judge>> = each(
  // With words from their input, as other users, elsewhere, later, or traced.
  `xargs parallel watch entr script screen tmux byobu expect unbuffer rlwrap at batch crontab systemd-run run-parts start-stop-daemon
  daemonize chroot unshare nsenter capsh pkexec gosu su-exec sg machinectl strace ltrace perf gdb lldb valgrind rr cgexec cgclassify
  run0 bwrap firejail cpulimit aa-exec sandbox-exec systemd-nspawn systemd-cat systemd-inhibit systemd-socket-activate varlinkctl udevadm
  schroot dchroot pbuilder mock toolbox distrobox flatpak-spawn apptainer singularity ch-run runc crun tini dumb-init catatonit pseudo
  supervisord supervisorctl daemon runsvdir tcpserver tcpsvd udpsvd inetd xinetd stunnel envdir envuidgid setuidgid pgrphack fghack multilog
  execlineb crond busybox-init cttyhack linuxrc init telinit openrc-run rc-service invoke-rc.d ifup ifdown udhcpc dhclient pppd openvpn wg-quick
  chronic ifne mispipe pee vidir vipe lckdo zrun hyperfine multitime timelimit nocache eatmydata libfaketime datefudge pexec xe rush bfs
  watchexec watchman fswatch reflex incrontab dtach abduco zellij ttyd gotty asciinema autoexpect empty-expect sexpect tmate openvt agetty getty
  sash ksu sudoreplay heaptrack cgdb ddd dtrace crash kexec debugfs ldd pidstat msgfilter csvtool uname26 wine mono box64
  sotruss memusage not pg_virtualenv uclampset coresched luit with-lock-ex msgexec vimtutor fakeroot-sysv fakeroot-tcp rmksh deb-systemd-invoke
  runcon mosh-server dvtm setarch linux32 linux64 i386 x86_64 personality fakeroot fakechroot proot torsocks faketime xvfb-run dbus-run-session dbus-launch
  dbus-send busctl gdbus ssh-agent chpst softlimit setlock runsv svc s6-setuidgid logsave logrotate cron anacron incrond inotifywait
  ip tc setsid-wrapper catchsegv numactl prlimit choom schedtool trickle unionfs
  pssh pdsh clush dsh cssh parallel-ssh rlogin tsh boundary cloudflared ngrok check_by_ssh minicom microcom
  ssh slogin sftp scp autossh sshpass mosh telnet rsh rexec nc ncat netcat socat openssl
  sftp-server internal-sftp git-upload-pack git-receive-pack git-upload-archive git-shell rrsync rsync-ssl
  vim vi view ex nvim rvim vimdiff gvim emacs emacsclient nano pico joe jed ed red mg micro kak helix hx mc mcedit
  rview rgvim nvim-qt jstar jpico ne dhex hexedit zathura yelp ranger nnn vifm lf xxh bat batcat delta fzf sk
  less more most pg man info apropos whatis lynx links elinks w3m browsh top htop atop nmon iotop glances
  mail mailx mutt alpine sendmail exim postfix irssi weechat
  ugrep ug diff3 sdiff patch ar nm ranlib objcopy strip nasm yasm perldoc pydoc pod2man pic tbl eqn nroff soelim zsoelim luatex pdftex xetex latexmk
  dvips enscript pandoc aspell ispell cowsay cowthink
  fd fdfind ag ack locate bc dc m4 cpp tex latex pdflatex xelatex lualatex troff groff gs ctags cscope
  clang++ gfortran tcc zig nim crystal dmd rdmd ldc2 ghc stack cabal opam dune lein clojure clj bb scala-cli amm kotlinc dart flutter gforth gst
  picolisp newlisp clisp ecl csi gosh scheme mit-scheme janet fennel raku perl6 wasmtime wasmer ipython jupyter bpython ptpython pdb idle twistd
  invoke fab doit erb rails rackup thor prove cpan cpanm plackup luarocks corepack grunt gulp tsx ts-node lerna nx turbo ember byebug
  gcc g++ cc c++ clang ld as go rustc cargo javac gradle mvn ant sbt cmake ninja bazel meson scons rake tox nox just task
  nvm fnm volta asdf mise rbenv rvm pyenv pdm hatch rye pixi virtualenv micromamba bundler opkg pkg port emerge eopkg slackpkg rpmbuild rpmquery
  rpmverify rpmdb debuild debconf update-alternatives alternatives certbot
  npx yarn pnpm bun bunx deno uv uvx poetry pipx pipenv conda mamba bundle gem pip easy_install direnv nix nix-shell nix-env guix
  apt apt-get aptitude dpkg rpm yum dnf zypper apk pacman snap flatpak brew
  hg svn bzr cvs fossil darcs p4 gh glab hub jj sl
  helmfile k3s microk8s minikube skaffold tilt argocd nomad consul vault envconsul consul-template sops op doppler chamber aws-vault heroku fly
  terragrunt cdk sam serverless knife chef-client facter bolt eb restic borg duplicity rdiff-backup rsnapshot unison dar
  virsh vagrant lxc lxd incus crictl ctr nerdctl buildah skopeo helm oc k9s kustomize ansible ansible-playbook ansible-console salt puppet
  chef terraform tofu packer pulumi aws gcloud az doctl
  pgbench pgcli mycli litecli usql sqlcmd isql impala-shell beeline hive spark-shell spark-submit pyspark hadoop hdfs smbclient cadaver psftp
  yt-dlp youtube-dl gallery-dl msfconsole sqlmap scapy
  sqlite sqlite3 mongo mongosh clickhouse-client cqlsh duckdb tcpdump tshark nmap ettercap aria2c lftp ftp tftp ncftp rclone
  sudoedit vipw vigr visudo editor sensible-editor select-editor pager sensible-pager zless zmore bzless xzless zstdless tig lazygit gitk
  run-mailcap xdg-open see xterm x-terminal-emulator ssh-keygen ssh-add ssh-copy-id sshd iptables ip6tables ebtables arptables bpftrace sysdig
  convert magick mogrify identify exiftool gnuplot sqlplus nodemon pm2 forever composer dotnet swift jrunscript jdb pry c89 c99
  insmod modprobe mount umount fusermount sshfs losetup dmsetup split csplit cpio pax zip 7z 7za 7zr rar gpg gpg2 gpgsm`,
  () => RUNS_OTHERS,
);
