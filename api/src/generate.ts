import { stringify } from 'yaml';
import { customResourceDefinitions } from './crd.ts';
import { apiReference, codesReference } from './reference.ts';

/** A file that is written from the sources of this package; `path` is relative to the root of the repository. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** Everything that scripts/generate.ts writes. */
export function generatedFiles(): GeneratedFile[] {
  const definitions = customResourceDefinitions().map((crd) => ({
    path: `crds/${crd.metadata.name}.yaml`,
    text: `# Written by npm run generate from api/src; do not edit.\n${toYaml(crd)}`,
  }));
  return [
    ...definitions,
    { path: 'docs/reference/api.md', text: apiReference() },
    { path: 'docs/reference/codes.md', text: codesReference() },
  ];
}

function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, version: '1.1' });
}
