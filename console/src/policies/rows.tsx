import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import type { ComponentChildren, JSX } from 'preact';
import { Recorded } from '../ui/recorded.tsx';
import { Age } from '../ui/time.tsx';
import { type Look, Mark } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';
import { selectsWords } from './rule-words.ts';
import { conditionOf, isFailing, keyOf, type Known, lookOf, standing } from './standing.ts';

/** Labels and ServiceAccounts that a line of the list names. */
const NAMED = 3;
const POLICY_HEADS = ['Policy', 'Mode', 'Selects', 'Rules', 'Conditions', 'Status', 'Age'] as const;
const RESOURCE_HEADS = ['Resource', 'Protocol', 'Upstream', 'Labels', 'Conditions', 'Status', 'Age'] as const;

export function PolicyTable({ items, label }: { items: readonly AccessPolicy[]; label: string }): JSX.Element {
  return (
    <Table heads={POLICY_HEADS} label={label}>
      {items.map((policy) => (
        <Row key={keyOf(policy)} object={policy} to="policies" types={['Accepted', 'Programmed']}>
          <td role="cell" class="mode">
            <Mode of={policy} />
          </td>
          <td role="cell" class="selects">
            <Said words={selectsWords(policy.spec.agents, NAMED)} frame={false} />
          </td>
          <td role="cell" class="rules">
            {policy.spec.rules.length}
            <span class="unit">{policy.spec.rules.length === 1 ? ' rule' : ' rules'}</span>
          </td>
        </Row>
      ))}
    </Table>
  );
}

export function ResourceTable({ items }: { items: readonly ProtectedResource[] }): JSX.Element {
  return (
    <Table heads={RESOURCE_HEADS} label="Resources">
      {items.map((resource) => {
        const { protocol, upstream, sensitive } = resource.spec;
        return (
          <Row key={keyOf(resource)} object={resource} to="resources" types={['Accepted', 'CredentialsAvailable', 'Reachable']}>
            <td role="cell" class="mode">
              <Recorded text={protocol} names frame={false} />
            </td>
            <td role="cell" class="selects">
              <Recorded text={upstream.address} names frame={false} />{' '}
              <span class="tls">
                {protocol === 'ssh' ? (
                  'host key pinned'
                ) : upstream.tls.mode === 'disable' ? (
                  <Mark look="finding" word="no TLS" />
                ) : (
                  upstream.tls.mode
                )}
              </span>
            </td>
            <td role="cell" class="rules">
              {sensitive.length}
              <span class="unit">{sensitive.length === 1 ? ' label' : ' labels'}</span>
            </td>
          </Row>
        );
      })}
    </Table>
  );
}

/** Whether rules are enforced: that they are not is worth a look. */
export function Mode({ of: { spec } }: { of: AccessPolicy }): JSX.Element {
  return spec.enforcement === 'Audit' ? <Mark look="finding" word="Audit" /> : <>Enforce</>;
}

interface TableProps {
  readonly heads: readonly string[];
  readonly label: string;
  readonly children: ComponentChildren;
}

function Table({ heads, label, children }: TableProps): JSX.Element {
  // The roles are said outright: on a phone the cells are laid out otherwise, which would take them away.
  return (
    <table class="sessions objects" role="table" aria-label={label}>
      <thead role="rowgroup">
        <tr role="row">
          {heads.map((head) => (
            <th key={head} role="columnheader" scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">{children}</tbody>
    </table>
  );
}

interface RowProps {
  readonly object: Known;
  readonly to: 'policies' | 'resources';
  /** Of its conditions those that a list has room for. */
  readonly types: readonly string[];
  readonly children: ComponentChildren;
}

function Row({ object, to, types, children }: RowProps): JSX.Element {
  const key = keyOf(object);
  const { look, word, reason } = standing(object);
  const { creationTimestamp } = object.metadata;
  return (
    <tr role="row" class={look === 'finding' ? 'has-failing' : ''}>
      <td role="cell" class="what">
        <a href={`/${to}/${key}`} class="row-link">
          <Recorded text={key} names frame={false} />
        </a>
      </td>
      {children}
      <td role="cell" class="conds">
        {types.map((type) => (
          <Brief key={type} object={object} type={type} />
        ))}
      </td>
      <td role="cell" class="status">
        <Mark look={look} word={word} />
        {reason !== undefined && (
          <span class="reason">
            <Recorded text={reason} names frame={false} />
          </span>
        )}
      </td>
      <td role="cell" class="age">
        {creationTimestamp === undefined ? (
          <span aria-hidden="true">–</span>
        ) : (
          <>
            <Age at={Date.parse(creationTimestamp)} />
            <span class="unit"> old</span>
          </>
        )}
      </td>
    </tr>
  );
}

/** For readers, who hear no glyph. */
const HOW: Readonly<Partial<Record<Look, string>>> = { finding: 'fails: ', none: 'not known: ' };

function Brief({ object, type }: { object: Known; type: string }): JSX.Element | null {
  const condition = conditionOf(object, type);
  if (condition === undefined) return null;
  const look = lookOf(condition);
  return (
    <span class="brief">
      <span class="sr">{HOW[look]}</span>
      <Mark look={look} word={type} />
      {isFailing(condition) && (
        <span class="reason">
          <Recorded text={condition.reason} names frame={false} />
        </span>
      )}{' '}
    </span>
  );
}
