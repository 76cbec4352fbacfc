import { stringify } from 'yaml';
import { customResourceDefinitions } from './crd.ts';

/** A file that is written from the sources of this package; `path` is relative to the root of the repository. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** Everything that scripts/generate.ts writes. */
export function generatedFiles(): GeneratedFile[] {
  return customResourceDefinitions().map((crd) => ({
    path: `crds/${crd.metadata.name}.yaml`,
    text: `# Written by npm run generate from api/src; do not edit.\n${toYaml(crd)}`,
  }));
}

function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, version: '1.1' });
}
