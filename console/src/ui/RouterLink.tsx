/** The kit's link, button and navigation entry as typed links of the router. */
import { Anchor, type AnchorProps, Button, type ButtonProps, NavLink, type NavLinkProps } from '@mantine/core';
import { createLink } from '@tanstack/react-router';
import type { ComponentPropsWithRef } from 'react';

type Own<P> = P & Omit<ComponentPropsWithRef<'a'>, keyof P>;

export const TextLink = createLink((props: Own<AnchorProps>) => <Anchor {...props} />);

export const ButtonLink = createLink((props: Own<ButtonProps>) => <Button component="a" {...props} />);

export const PageLink = createLink((props: Own<NavLinkProps>) => <NavLink component="a" {...props} />);
