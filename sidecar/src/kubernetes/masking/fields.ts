import { MAX_GLOB_LENGTH, parseSegment, type SegmentGlob } from '@chaperone/policy';

/**
 * Where labelled values stand, as an owner writes it:
 *
 *     secrets:data.tls\.key                       a field of a resource: plural, a colon, and a path
 *     configmaps:data.DB_*                        `*` stands for any characters of one name, dots included
 *     widgets.example.com:spec.users.token        a resource of one group; without a group: of any. Lists are passed through
 *     *:spec.password                             a field of every resource
 *     env:*_PASSWORD                              the value of an environment variable, in every container of every kind
 *     annotations:example.com/token*              an annotation, of whatever object or template
 *
 * A dot within a name is written `\.`, as kubectl's custom-columns does, and `[*]` may follow the name of a list. All that is below
 * a labelled field is labelled; names of fields and keys of maps are not.
 */
export type Field =
  | { readonly of: 'env' | 'annotations'; readonly name: SegmentGlob }
  | {
      readonly of: 'resource';
      readonly resource: SegmentGlob;
      /** Absent: of any. */
      readonly group?: string;
      readonly path: readonly SegmentGlob[];
    };

/** Reads one entry; undefined where it is none. */
export function parseField(text: string): Field | undefined {
  const colon = text.indexOf(':');
  const scope = text.slice(0, Math.max(colon, 0));
  const rest = text.slice(colon + 1);
  if (scope === '' || rest === '' || text.length > MAX_GLOB_LENGTH) return undefined;
  if (scope === 'env' || scope === 'annotations') return { of: scope, name: parseSegment(rest) };
  const dot = scope.indexOf('.');
  const resource = dot < 0 ? scope : scope.slice(0, dot);
  const path = pathOf(rest);
  if (!/^[a-z0-9*-]+$/.test(resource) || path === undefined) return undefined;
  const group = dot < 0 ? undefined : scope.slice(dot + 1);
  if (group !== undefined && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(group)) return undefined;
  return { of: 'resource', resource: parseSegment(resource), ...(group !== undefined && { group }), path };
}

function pathOf(text: string): SegmentGlob[] | undefined {
  const names = text.split(/(?<!\\)\./).map((name) => name.replace(/\[\*?\]$/, '').replaceAll('\\.', '.'));
  if (names.some((name) => name === '' || /[\\[\]]/.test(name))) return undefined;
  return names.map(parseSegment);
}
