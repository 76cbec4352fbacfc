import { detoursOf, entryOf, isResolved, joinPath, type Lookup, lexicalPath, pathText } from '../actions/files.ts';
import { string } from '../wire/data.ts';
import { type Attributes, STATUS, TYPE } from '../wire/sftp.ts';
import type { SftpResponse } from '../wire/sftp-response.ts';
import type { SftpUpstream } from './sftp-upstream.ts';

type Status = Extract<SftpResponse, { kind: 'status' }>;

/** Where a path leads; or what the server answers instead; or why nobody can say it. */
export type Resolved = { readonly path: string } | { readonly failed: Status } | { readonly unknown: string };

/** Deeper ones are refused where every part has to be looked at. */
const MAX_DEPTH = 128;

/** Asks the server where paths lead. */
export class SftpPaths {
  readonly #upstream: SftpUpstream;
  readonly #resolvesLinks: boolean;
  #home: Promise<string | undefined> | undefined;

  /**
   * @param resolvesLinks - whether REALPATH of this server follows links, as OpenSSH's does. Others only tidy the text: then every
   * part of the result is looked at, and a path with a link in it is not resolved.
   */
  constructor(upstream: SftpUpstream, resolvesLinks: boolean) {
    this.#upstream = upstream;
    this.#resolvesLinks = resolvesLinks;
  }

  /** The directory that relative paths begin in; undefined where the server does not say. */
  home(): Promise<string | undefined> {
    this.#home ??= this.#realpath('.').then((home) => ('path' in home ? home.path : undefined));
    return this.#home;
  }

  /** The path as it reads, from {@link home}. */
  async lexical(path: string): Promise<string> {
    return path.startsWith('/') ? lexicalPath('/', path) : lexicalPath((await this.home()) ?? '/', path);
  }

  /** {@link detoursOf} it, from {@link home}. */
  async detours(path: string): Promise<readonly string[]> {
    return path.split('/').includes('..') ? detoursOf((await this.home()) ?? '/', path) : [];
  }

  async resolve(path: string, lookup: Lookup): Promise<Resolved> {
    const entry = lookup === 'entry' ? entryOf(path) : undefined;
    const found = await this.#realpath(entry ? entry.directory : path);
    if (!('path' in found)) return found;
    const checked = this.#resolvesLinks ? found : await this.#withoutLinks(found.path);
    if (!('path' in checked)) return checked;
    return { path: entry ? joinPath(checked.path, entry.name) : checked.path };
  }

  /** What is there, a link itself and not where it leads; undefined: nothing, or the server does not say. */
  async formatOf(path: string): Promise<Attributes['format'] | Status> {
    const answer = await this.#upstream.ask(TYPE.lstat, 'attrs', string(path));
    if (answer.kind === 'attrs') return answer.attributes.format;
    return answer.kind === 'status' ? answer : undefined;
  }

  async #realpath(path: string): Promise<Resolved> {
    const answer = await this.#upstream.ask(TYPE.realpath, 'name', string(path));
    if (answer.kind === 'status') return { failed: answer };
    return resolvedName(answer);
  }

  async #withoutLinks(path: string): Promise<Resolved> {
    const parts = path === '/' ? [] : path.slice(1).split('/');
    if (parts.length > MAX_DEPTH) return { unknown: 'it is too deep' };
    const places = parts.map((_, at) => `/${parts.slice(0, at + 1).join('/')}`);
    const formats = await Promise.all(places.map((place) => this.formatOf(place)));
    for (const [at, format] of formats.entries()) {
      if (format === undefined || format === 'link')
        return { unknown: 'a link is in it, and the server does not say where it leads' };
      const isNew = typeof format === 'object' && format.code === STATUS.noSuchFile && at === parts.length - 1;
      if (typeof format === 'object' && !isNew) return { failed: format };
    }
    return { path };
  }
}

/** The one path that a NAME holds. */
export function resolvedName(answer: SftpResponse): { readonly path: string } | { readonly unknown: string } {
  const [name] = answer.kind === 'name' && answer.names.length === 1 ? answer.names : [];
  const path = name && pathText(name);
  return path !== undefined && isResolved(path) ? { path } : { unknown: 'the server does not say where it leads' };
}
