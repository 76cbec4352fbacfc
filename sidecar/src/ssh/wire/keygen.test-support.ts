import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '@chaperone/testing';
import { afterAll } from 'vitest';

/** Whether OpenSSH's tools are on this machine. */
export const HAS_KEYGEN = findProgram('ssh-keygen') !== undefined;

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Files of keys, made by OpenSSH itself; gone with the file of tests. */
export class Keygen {
  readonly directory = mkdtempSync(join(tmpdir(), 'chaperone-keys-'));

  constructor() {
    directories.push(this.directory);
  }

  /** Runs ssh-keygen among the files. @returns what it prints */
  run(...args: string[]): string {
    return execFileSync('ssh-keygen', args, { cwd: this.directory, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
  }

  /** Makes the pair NAME and NAME.pub. */
  make(name: string, type: string, ...args: string[]): void {
    this.run('-q', '-N', '', '-C', 'a comment', '-f', name, '-t', type, ...args);
  }

  text(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8');
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** The wire form of what NAME.pub holds. */
  blob(name: string): Buffer {
    return Buffer.from(this.text(`${name}.pub`).split(' ')[1] ?? '', 'base64');
  }
}
