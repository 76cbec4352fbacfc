import { render } from 'preact';

render(<h1>Chaperone</h1>, document.getElementById('app') as HTMLElement);
