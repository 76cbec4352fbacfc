import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** As the kubelet has it: NAMESPACE_POD_UID/CONTAINER/RESTARTS.log. */
const PODS = '/var/log/pods';
/** As containerd writes them: time, stream, F for a whole line and P for a part of one, text. */
const LINE = /^(\S+) (?:stdout|stderr) ([FP]) (.*)$/;
const BUFFER = Buffer.alloc(1024 * 1024);

export interface LogLine {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** ms since 1970 */
  readonly at: number;
  readonly text: string;
}
interface Open {
  readonly fd: number;
  readonly of: Pick<LogLine, 'namespace' | 'pod' | 'container'>;
  offset: number;
  /** Of a line whose end is not there yet. */
  rest: string;
  part: string;
}

/**
 * Everything that containers of some namespaces print, read on their node: also while the API server is away, of containers that
 * were killed, and of pods that are gone, since a file that is open outlives its name. Only where the cluster is on this host.
 */
export class NodeLogs implements Disposable {
  readonly #namespaces: ReadonlySet<string>;
  readonly #folder: string;
  readonly #open = new Map<number, Open>();

  /** `folder`: where the kubelet keeps what containers print. */
  constructor(namespaces: readonly string[], folder = PODS) {
    this.#namespaces = new Set(namespaces);
    this.#folder = folder;
  }

  /** What was printed since the last time; to be asked once a second, so that no file comes and goes unseen. */
  read(): LogLine[] {
    this.#find();
    return [...this.#open].flatMap(([inode, file]) => {
      const lines = take(file);
      if (lines.length === 0 && fstatSync(file.fd).nlink === 0) {
        closeSync(file.fd);
        this.#open.delete(inode);
      }
      return lines;
    });
  }

  #find(): void {
    for (const folder of list(this.#folder)) {
      const [namespace = '', pod = ''] = folder.split('_');
      if (!this.#namespaces.has(namespace)) continue;
      for (const container of list(join(this.#folder, folder)))
        for (const name of list(join(this.#folder, folder, container)).filter((each) => each.endsWith('.log')))
          this.#add(join(this.#folder, folder, container, name), { namespace, pod, container });
    }
  }

  #add(path: string, of: Open['of']): void {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch {
      // Gone since it was listed.
      return;
    }
    const { ino } = fstatSync(fd);
    if (this.#open.has(ino)) closeSync(fd);
    else this.#open.set(ino, { fd, of, offset: 0, rest: '', part: '' });
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function take(file: Open): LogLine[] {
  for (;;) {
    const length = readSync(file.fd, BUFFER, 0, BUFFER.length, file.offset);
    if (length === 0) break;
    file.offset += length;
    // Latin-1, so that no character is cut in two; each line is decoded once it is whole.
    file.rest += BUFFER.toString('latin1', 0, length);
  }
  const lines = file.rest.split('\n');
  file.rest = lines.pop() ?? '';
  return lines.flatMap((line) => {
    const [, time = '', whole, text = ''] = LINE.exec(Buffer.from(line, 'latin1').toString()) ?? [];
    file.part += text;
    if (whole === 'P') return [];
    const found = { ...file.of, at: Date.parse(time), text: file.part };
    file.part = '';
    return [found];
  });
}
