import { API_VERSION, ObjectMeta } from './meta.ts';
import { namespaceName, objectName } from './fields.ts';
import { parseDocuments, type Path, type Position, type SourceDocument } from './manifests/documents.ts';
import { decodeSecret, type ManifestSecret, secretFields } from './manifests/secret.ts';
import { fieldName, type FieldProblem, isObject, type Validation, validator } from './manifests/validate.ts';
import { AccessPolicy } from './policy.ts';
import { ProtectedResource } from './resource.ts';
import { nearest, visible } from './text.ts';
import { z } from 'zod';

export type { ManifestSecret } from './manifests/secret.ts';

/** A text that somebody read from a directory; `path` is what people are shown. */
export interface ManifestFile {
  readonly path: string;
  readonly text: string;
}

/** Something wrong in a file. `message` is a sentence that begins with the field and holds no value of a Secret. */
export interface ManifestProblem extends Position {
  readonly path: string;
  /** `spec.rules[1].sql.statement`; empty where the file itself is the problem. */
  readonly field: string;
  readonly message: string;
}

export interface Manifests {
  readonly resources: ProtectedResource[];
  readonly policies: AccessPolicy[];
  readonly secrets: ManifestSecret[];
  /** Everything that is wrong, in the order of the files. Objects with a problem are in none of the lists above. */
  readonly problems: ManifestProblem[];
}

export const MANIFEST_LIMITS = {
  /** Bytes of one file: as large as the API server takes an object, roughly. */
  fileBytes: 1024 * 1024,
  /** Objects of all files together. */
  objects: 10_000,
  /** Problems that are said; the rest would be their echo. */
  problems: 100,
} as const;

/** `shop/policy.yaml:14:11 rules[1].sql.statement is unknown; did you mean "statements"? (ManifestInvalid)` */
export function describeProblem({ path, line, column, message }: ManifestProblem): string {
  return `${visible(path)}:${line}:${column} ${message} (ManifestInvalid)`;
}

const KINDS = ['AccessPolicy', 'ProtectedResource', 'Secret'] as const;
type Kind = (typeof KINDS)[number];

/**
 * Reads YAML files (several documents each) of AccessPolicy, ProtectedResource and Secret, by the schemas and local rules that the
 * API server enforces too, and stricter about what it would drop or default: unknown fields at any depth and a missing namespace
 * are problems. Pure; never throws on what files hold.
 */
export function readManifests(files: readonly ManifestFile[]): Manifests {
  const reader = new ManifestReader();
  for (const file of files) reader.read(file);
  return reader.result;
}

const metadata = ObjectMeta.extend({ name: objectName, namespace: namespaceName });

class ManifestReader {
  readonly result: Manifests = { resources: [], policies: [], secrets: [], problems: [] };
  readonly #seen = new Map<string, string>();
  readonly #resource = validator(ProtectedResource.extend({ metadata }));
  readonly #policy = validator(AccessPolicy.extend({ metadata }));
  readonly #secret = validator(z.object({ ...secretFields, metadata }));
  #objects = 0;

  read(file: ManifestFile): void {
    if (Buffer.byteLength(file.text) > MANIFEST_LIMITS.fileBytes) {
      this.#report(file, { line: 1, column: 1 }, [], `is larger than ${MANIFEST_LIMITS.fileBytes} bytes; split it`);
      return;
    }
    const { documents, faults } = parseDocuments(file.text);
    for (const fault of faults) this.#report(file, fault, [], fault.message);
    for (const document of documents) if (document.value !== null && document.value !== undefined) this.#object(file, document);
  }

  #object(file: ManifestFile, document: SourceDocument): void {
    const problem = (path: Path, message: string, part: 'key' | 'value' = 'value'): void =>
      this.#report(file, document.locate(path, part), path, message);
    this.#objects++;
    if (this.#objects > MANIFEST_LIMITS.objects) {
      if (this.#objects === MANIFEST_LIMITS.objects + 1)
        problem([], `is one object too many; at most ${MANIFEST_LIMITS.objects} are read`);
      return;
    }
    const kind = kindOf(document.value);
    if (typeof kind === 'string') this.#known(kind, document.value, problem, file, document);
    else problem(kind.path, kind.message);
  }

  #known(
    kind: Kind,
    value: unknown,
    problem: (path: Path, message: string, part?: 'key' | 'value') => void,
    file: ManifestFile,
    document: SourceDocument,
  ): void {
    const add = <T extends { metadata: ObjectMeta }>(validation: Validation<T>, list: T[]): void => {
      if ('problems' in validation) {
        for (const { path, message, part } of validation.problems) problem(path, message, part);
        return;
      }
      const name = `${kind} ${validation.value.metadata.namespace ?? ''}/${validation.value.metadata.name}`;
      const first = this.#seen.get(name);
      if (first !== undefined) {
        problem(['metadata', 'name'], `metadata.name: ${name} is there already, at ${first}; remove one`);
        return;
      }
      const { line, column } = document.locate(['metadata', 'name'], 'value');
      this.#seen.set(name, `${visible(file.path)}:${line}:${column}`);
      list.push(validation.value);
    };
    if (kind === 'ProtectedResource') add(this.#resource(value), this.result.resources);
    else if (kind === 'AccessPolicy') add(this.#policy(value), this.result.policies);
    else add(this.#decoded(value), this.result.secrets);
  }

  #decoded(value: unknown): Validation<ManifestSecret> {
    const parsed = this.#secret(value);
    if ('problems' in parsed) return parsed;
    const secret = decodeSecret(parsed.value);
    return 'problems' in secret ? secret : { value: secret };
  }

  #report(file: ManifestFile, { line, column }: Position, path: Path, message: string): void {
    if (this.result.problems.length >= MANIFEST_LIMITS.problems) return;
    const spec = path[0] === 'spec' && path.length > 1;
    this.result.problems.push({ path: file.path, line, column, field: `${spec ? 'spec.' : ''}${fieldName(path)}`, message });
  }
}

/** Which kind a document is, or why it is none that is read here. */
function kindOf(value: unknown): Kind | Pick<FieldProblem, 'path' | 'message'> {
  if (!isObject(value)) return { path: [], message: 'is not an object; write apiVersion, kind, metadata and spec' };
  const { apiVersion, kind } = value;
  if (typeof kind !== 'string') return { path: [], message: 'kind is required: AccessPolicy, ProtectedResource or Secret' };
  const known = KINDS.find((each) => each === kind);
  if (known === undefined) {
    const meant = nearest(kind, KINDS);
    const hint = meant === undefined ? 'AccessPolicy, ProtectedResource and Secret are' : `did you mean "${meant}"?`;
    return { path: ['kind'], message: `kind ${visible(kind, 64)} is not read here; ${hint}` };
  }
  const wanted = known === 'Secret' ? 'v1' : API_VERSION;
  if (apiVersion !== wanted) return { path: ['apiVersion'], message: `apiVersion must be ${wanted} for kind ${known}` };
  return known;
}
