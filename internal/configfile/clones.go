package configfile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/strictyaml"
)

// CloneOf makes a Project a clone of another one.
type CloneOf struct {
	Project string `json:"project" doc:"The project whose mirror is copied, by name. It cannot be changed."`
	Mode    string `json:"mode,omitempty" doc:"following: what changes in that project changes in this one, too, and is the default; still: it stays as it was copied."`
}

const cloneOf = "clone_of"

// settings are what can be compared of a clone; the default of its mode is written out.
func (c CloneOf) settings() map[string]any {
	return map[string]any{"project": c.Project, "mode": cmp.Or(c.Mode, client.CloneFollowing)}
}

// names are the projects, each behind the one that it is a clone of, otherwise in the order of their names.
func (f File) names() []string {
	var all []string
	placed := map[string]bool{}
	var place func(name string)
	place = func(name string) {
		p, is := f.Projects[name]
		if !is || placed[name] {
			return
		}
		placed[name] = true // before its source, so that a circle ends
		if p.CloneOf != nil {
			place(p.CloneOf.Project)
		}
		all = append(all, name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Projects)) {
		place(name)
	}
	return all
}

// cloneOf checks what needs no server.
func (r *reader) cloneOf(f *File, path, name string, p Project) {
	if p.CloneOf == nil {
		return
	}
	at := strictyaml.Join(path, cloneOf)
	switch mode := p.CloneOf.Mode; {
	case p.CloneOf.Project == "":
		r.Fail(r.KeyAt(at), "clone_of.project is missing: give the name of the project to clone")
		return
	case mode != "" && mode != client.CloneFollowing && mode != client.CloneStill:
		r.Unknown(r.KeyAt(strictyaml.Join(at, "mode")), "mode", mode, []string{client.CloneFollowing, client.CloneStill})
	case mode != client.CloneStill && len(p.Integrations) > 0:
		r.Fail(r.KeyAt(strictyaml.Join(path, "integrations")),
			"a clone that follows has no integrations of its own, for its records come from %s: add mode: still to clone_of", p.CloneOf.Project)
	}
	r.name(strictyaml.Join(at, "project"), "project", p.CloneOf.Project)
	of := p.CloneOf
	for range f.Projects { // a circle of others has no end
		if of == nil {
			return
		}
		if of.Project == name {
			r.Fail(r.KeyAt(at), "project %s is a clone of itself", name)
			return
		}
		of = f.Projects[of.Project].CloneOf
	}
}

// checkClones refuses what cannot be changed of a clone.
func checkClones(file, server File) error {
	for _, name := range file.names() {
		p := file.Projects[name]
		was, exists := server.Projects[name]
		if p.CloneOf != nil {
			_, inFile := file.Projects[p.CloneOf.Project]
			if _, there := server.Projects[p.CloneOf.Project]; !inFile && !there {
				return fmt.Errorf("project %s is a clone of %s, but neither the file nor the server has a project of that name", name, p.CloneOf.Project)
			}
		}
		switch is, was := p.CloneOf, was.CloneOf; {
		case !exists || is == nil && was == nil:
		case was == nil:
			return fmt.Errorf("project %s is a clone of %s in the file, and none on the server: a project cannot become a clone. "+
				"Choose another name, or detach that one first (authsync projects detach %[1]s). If it is a clone whose source was detached, leave clone_of out",
				name, is.Project)
		case is == nil:
			return fmt.Errorf("project %s is a clone of %s on the server, and none in the file: a clone stays one. "+
				"Add clone_of: {project: %[2]s, mode: %[3]s}, or choose another name", name, was.Project, was.Mode)
		case is.Project != was.Project:
			return fmt.Errorf("project %s is a clone of %s on the server, and of %s in the file: its source cannot be changed. "+
				"Choose another name, or detach that one first (authsync projects detach %[1]s) and give it an empty database", name, was.Project, is.Project)
		}
	}
	return nil
}

// cloneOf is of which project one is a clone; nil: of none.
func (l *loader) cloneOf(p client.Project) *CloneOf {
	switch {
	case p.Clone == nil:
		return nil
	case p.Clone.SourceID == nil:
		l.note("project %s is a clone of %s, which was detached: the file has it as a project like any other", p.Name, p.Clone.SourceName)
		return nil
	default:
		return &CloneOf{Project: p.Clone.SourceName, Mode: p.Clone.Mode}
	}
}

// noteSources says which sources a file does not have.
func (l *loader) noteSources(f File) {
	for _, name := range f.names() {
		if of := f.Projects[name].CloneOf; of != nil {
			if _, has := f.Projects[of.Project]; !has {
				l.note("project %s is a clone of %s, which is not in the file", name, of.Project)
			}
		}
	}
}

// lookEvery is how often a clone is looked at that copies.
const lookEvery = time.Second

// awaitCopy waits until a clone does not copy any more: only one that stands still takes integrations. What it waits for is
// said once, and again if that changes.
func (a *Applier) awaitCopy(ctx context.Context, project string) error {
	for said := ""; ; {
		p, err := a.Client.Project(ctx, project)
		if err != nil || p.Clone == nil || p.Clone.State != client.CloneCopying {
			return err
		}
		line := "Project " + project + " takes its integrations when it has copied all from " + p.Clone.SourceName
		if p.Clone.WaitReason != nil {
			line += "; it waits: " + *p.Clone.WaitReason
		}
		if line != said && a.Waits != nil {
			if err := a.Waits(line); err != nil {
				return err
			}
		}
		said = line
		if err := pause.For(ctx, lookEvery); err != nil {
			return err
		}
	}
}
