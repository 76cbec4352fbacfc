import type { JSX } from 'preact';
import { PageHeading } from '../ui/heading.tsx';

export default function Nowhere(): JSX.Element {
  return (
    <>
      <PageHeading title="Nothing here">Nothing here</PageHeading>
      <p>
        This address leads to no page. <a href="/">Go to the first one</a>
      </p>
    </>
  );
}
